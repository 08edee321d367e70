package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	pires "github.com/pires/go-proxyproto"
)

const (
	// minHeader is the size of the shortest header of either version, which is "PROXY
	// UNKNOWN" with its line end. So much can be read of any header.
	minHeader = 15
	// fixedSize is the size of the fixed part of version 2, which ends with the length
	// of the rest.
	fixedSize = 16
	// maxLine is the size of the longest line of version 1.
	maxLine = 107

	// maxFromRelay bounds the rest of a header from a relay: by the specification the
	// whole of it fits into 536 bytes, which every network carries in one packet.
	maxFromRelay = 536 - fixedSize
	// maxFromProxy bounds the rest of a header from a load balancer, which may add a
	// certificate of the user's. Nginx and the library accept as much.
	maxFromProxy = 4096
)

var (
	errNone = errors.New("it is missing")
	errLong = errors.New("it is too long")
)

// Read reads a header of version 2, and nothing beyond it. It returns addresses like
// those of TCP connections. Without an error they are nil if the header says that there
// is no user, or does not say where the user is. The caller sets a deadline.
func Read(r io.Reader) (user, public net.Addr, err error) {
	user, public, _, err = ReadDetails(r)
	return user, public, err
}

// ReadDetails is Read, and also returns the details that HeaderWithDetails has added.
func ReadDetails(r io.Reader) (user, public net.Addr, details Details, err error) {
	header, err := readMore(r, nil, fixedSize)
	if err == nil {
		header, err = readRest(r, header, maxFromRelay)
	}
	if user, public, err = parse(header, err); err == nil {
		details = parseDetails(header)
	}
	return user, public, details, err
}

// addressLen returns how many bytes of addresses a header of version 2 has, by section
// 2.2: the upper half of the 14th byte is the family.
func addressLen(header []byte) int {
	switch header[13] >> 4 {
	case 1:
		return 12
	case 2:
		return 36
	}
	return 0
}

// parseDetails parses what follows the addresses in a header of version 2.
func parseDetails(header []byte) (details Details) {
	const local = 0x20 // version 2, LOCAL
	addresses, isLocal := addressLen(header), header[12] == local
	if addresses == 0 && !isLocal || len(header) <= fixedSize+addresses {
		return Details{}
	}
	tlvs, err := pires.SplitTLVs(header[fixedSize+addresses:])
	if err != nil {
		return Details{} // they say nothing about the user, and may be anything
	}
	for _, tlv := range tlvs {
		switch {
		case isLocal:
			details.Probe = details.Probe || tlv.Type == probeType
			details.Control = details.Control || tlv.Type == controlType
		case tlv.Type == noticeType && len(tlv.Value) > 0:
			details.Notice = tlv.Value
		case tlv.Type == sequenceType && len(tlv.Value) == 16:
			details.Sequence = Sequence{binary.BigEndian.Uint64(tlv.Value), binary.BigEndian.Uint64(tlv.Value[8:])}
		}
	}
	return details
}

// ReadEither is Read for either version, as load balancers send them.
func ReadEither(r io.Reader) (user, public net.Addr, err error) {
	header, err := readMore(r, nil, minHeader)
	switch {
	case err != nil:
	case bytes.HasPrefix(header, pires.SIGV1):
		if header, err = readLine(r, header); err == nil {
			header = unifyFamily(header)
		}
	default:
		header, err = readRest(r, header, maxFromProxy)
	}
	return parse(header, err)
}

// readRest reads the rest of a header of version 2, at most limit bytes beyond its
// fixed part.
func readRest(r io.Reader, header []byte, limit int) (_ []byte, err error) {
	if !bytes.HasPrefix(header, pires.SIGV2) {
		return nil, errNone
	}
	if header, err = readMore(r, header, fixedSize-len(header)); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(header[fixedSize-2:]))
	if length > limit {
		return nil, errLong
	}
	return readMore(r, header, length)
}

// readLine reads the rest of a header of version 1. Its length is not known, so it is
// read by the byte: at most 92 of them, once for a connection.
func readLine(r io.Reader, line []byte) (_ []byte, err error) {
	if bytes.IndexByte(line[:len(line)-1], '\n') >= 0 {
		return nil, errNone // it ends too soon to mean anything
	}
	for line[len(line)-1] != '\n' {
		if len(line) == maxLine {
			return nil, errLong
		}
		if line, err = readMore(r, line, 1); err != nil {
			return nil, err
		}
	}
	return line, nil
}

// unifyFamily writes both addresses of a line of version 1 as IPv6 if the public
// address is of another family than the user's, which is the family that the line
// names. The specification has no such line. Nginx sends it for each user whose address
// it has itself from a header (set_real_ip_from), if the family differs from that of
// its own listener. The user's address in it is good. Any other line stays as it is.
func unifyFamily(line []byte) []byte {
	const family, user, public, fields = 1, 2, 3, 6
	words := strings.Split(string(line), " ")
	if len(words) != fields {
		return line
	}
	from, errFrom := netip.ParseAddr(words[user])
	to, errTo := netip.ParseAddr(words[public])
	named := words[family] == "TCP4" && from.Is4() || words[family] == "TCP6" && from.Is6()
	if errFrom != nil || errTo != nil || !named || from.Is4() == to.Is4() {
		return line
	}
	words[family] = "TCP6"
	if from.Is4() {
		words[user] = mappedPrefix + words[user]
	} else {
		words[public] = mappedPrefix + words[public]
	}
	return []byte(strings.Join(words, " "))
}

// mappedPrefix precedes an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2).
const mappedPrefix = "::ffff:"

// readMore reads and appends the next n bytes.
func readMore(r io.Reader, header []byte, n int) ([]byte, error) {
	start := len(header)
	header = append(header, make([]byte, n)...)
	if _, err := io.ReadFull(r, header[start:]); err != nil {
		if start > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return header, nil
}

// parse returns the addresses of a header, unless reading it has failed.
func parse(header []byte, err error) (user, public net.Addr, _ error) {
	if err == nil {
		if user, public, ok := parseTCP(header); ok {
			return user, public, nil
		}
	}
	return parseAny(header, err)
}

// parseAny is parse for a header of any kind.
func parseAny(header []byte, err error) (user, public net.Addr, _ error) {
	var parsed *pires.Header
	if err == nil {
		// All of it at once, as the library requires.
		parsed, err = pires.Read(bufio.NewReaderSize(bytes.NewReader(header), len(header)))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("PROXY header: %w", err)
	}
	from, to, ok := parsed.TCPAddrs()
	if !ok || !parsed.Command.IsProxy() {
		return nil, nil, nil
	}
	return unmapped(from), unmapped(to), nil
}

// parseTCP parses a header of version 2 of a TCP connection, as all users have, in a third
// of the time that the library takes. It returns false for any other.
func parseTCP(header []byte) (user, public *net.TCPAddr, ok bool) {
	const proxy, tcp4, tcp6, portLen = 0x21, 0x11, 0x21, 2 // section 2.2
	if len(header) < fixedSize || !bytes.HasPrefix(header, pires.SIGV2) || header[12] != proxy {
		return nil, nil, false
	}
	size := net.IPv4len
	switch header[13] {
	case tcp4:
	case tcp6:
		size = net.IPv6len
	default:
		return nil, nil, false
	}
	rest := header[fixedSize:]
	if int(binary.BigEndian.Uint16(header[fixedSize-2:])) != len(rest) || len(rest) < 2*(size+portLen) || len(rest) > maxFromRelay {
		return nil, nil, false
	}
	ports := rest[2*size:]
	return tcpAddr(rest[:size], ports), tcpAddr(rest[size:2*size], ports[portLen:]), true
}

// tcpAddr returns the address with this IP address and the port that ports begin with.
func tcpAddr(ip net.IP, ports []byte) *net.TCPAddr {
	if v4 := ip.To4(); v4 != nil {
		ip = v4
	}
	return &net.TCPAddr{IP: bytes.Clone(ip), Port: int(binary.BigEndian.Uint16(ports))}
}

// unmapped returns an IPv4 address that is written as IPv6 as IPv4.
func unmapped(addr *net.TCPAddr) *net.TCPAddr {
	if ip := addr.IP.To4(); ip != nil {
		return &net.TCPAddr{IP: ip, Port: addr.Port}
	}
	return addr
}
