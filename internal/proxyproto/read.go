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
	// shortest is what the shortest header of any version has, which is
	// "PROXY UNKNOWN" with its line end. So much can be read of any.
	shortest = 15
	// fixed is the part of version 2 that has a length of its own, and ends with
	// that of the rest.
	fixed = 16
	// longestLine is a line of version 1 with all that may be in it.
	longestLine = 107

	// mostFromRelay bounds the rest of a header that a relay has made: the
	// specification has the whole of it fit into 536 bytes, which every network
	// carries in one piece.
	mostFromRelay = 536 - fixed
	// mostFromProxy does so for load balancers, which may add a certificate of
	// the user's. It is what nginx takes, and the library.
	mostFromProxy = 4096
)

var (
	errNone = errors.New("there is none")
	errLong = errors.New("it is too long")
)

// Read reads a header of version 2, and nothing beyond it. It gives the addresses
// as TCP connections have them; without an error they are nil if the header says
// that there is no user, or not from where. A deadline is the caller's to set.
func Read(r io.Reader) (user, public net.Addr, err error) {
	user, public, _, err = ReadDetails(r)
	return user, public, err
}

// ReadDetails is Read, and gives what HeaderWithDetails has put in besides.
func ReadDetails(r io.Reader) (user, public net.Addr, details Details, err error) {
	header, err := more(r, nil, fixed)
	if err == nil {
		header, err = readRest(r, header, mostFromRelay)
	}
	if user, public, err = parse(header, err); err == nil {
		details = detailsOf(header)
	}
	return user, public, details, err
}

// addressesOf gives how many bytes of addresses a header of version 2 has, by section
// 2.2: the family is in the upper half of the 14th byte.
func addressesOf(header []byte) int {
	switch header[13] >> 4 {
	case 1:
		return 12
	case 2:
		return 36
	}
	return 0
}

// detailsOf gives what stands in a header of version 2 behind its addresses.
func detailsOf(header []byte) (details Details) {
	addresses := addressesOf(header)
	if addresses == 0 || len(header) <= fixed+addresses {
		return Details{}
	}
	more, err := pires.SplitTLVs(header[fixed+addresses:])
	if err != nil {
		return Details{} // they say nothing about the user, and may be anything
	}
	for _, tlv := range more {
		switch {
		case tlv.Type == noticeType && len(tlv.Value) > 0:
			details.Notice = tlv.Value
		case tlv.Type == turnType && len(tlv.Value) == 16:
			details.Turn = Turn{binary.BigEndian.Uint64(tlv.Value), binary.BigEndian.Uint64(tlv.Value[8:])}
		}
	}
	return details
}

// ReadEither is Read for either version, as load balancers send them.
func ReadEither(r io.Reader) (user, public net.Addr, err error) {
	header, err := more(r, nil, shortest)
	switch {
	case err != nil:
	case bytes.HasPrefix(header, pires.SIGV1):
		if header, err = readLine(r, header); err == nil {
			header = oneFamily(header)
		}
	default:
		header, err = readRest(r, header, mostFromProxy)
	}
	return parse(header, err)
}

// readRest reads what is left of a header of version 2, most bytes beyond its
// fixed part.
func readRest(r io.Reader, header []byte, most int) (_ []byte, err error) {
	if !bytes.HasPrefix(header, pires.SIGV2) {
		return nil, errNone
	}
	if header, err = more(r, header, fixed-len(header)); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(header[fixed-2:]))
	if length > most {
		return nil, errLong
	}
	return more(r, header, length)
}

// readLine reads what is left of a header of version 1. Nothing says how much that
// is, so it comes by the byte: at most 92 of them, once for a connection.
func readLine(r io.Reader, line []byte) (_ []byte, err error) {
	if bytes.IndexByte(line[:len(line)-1], '\n') >= 0 {
		return nil, errNone // it ends too soon to say something
	}
	for line[len(line)-1] != '\n' {
		if len(line) == longestLine {
			return nil, errLong
		}
		if line, err = more(r, line, 1); err != nil {
			return nil, err
		}
	}
	return line, nil
}

// oneFamily writes both addresses of a line of version 1 as IPv6 if the public one is of
// another family than the user's, which is the family that the line names. The
// specification has no such line, and nginx sends one for each user whose address it has
// from a header itself (set_real_ip_from), of another family than its own listener. The
// user's address in it is good. Any other line stays as it is.
func oneFamily(line []byte) []byte {
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
		words[user] = mapped + words[user]
	} else {
		words[public] = mapped + words[public]
	}
	return []byte(strings.Join(words, " "))
}

// mapped comes before an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2).
const mapped = "::ffff:"

// more appends the next n bytes.
func more(r io.Reader, header []byte, n int) ([]byte, error) {
	begun := len(header)
	header = append(header, make([]byte, n)...)
	if _, err := io.ReadFull(r, header[begun:]); err != nil {
		if begun > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return header, nil
}

// parse gives the addresses of a header, unless reading it has failed.
func parse(header []byte, err error) (user, public net.Addr, _ error) {
	var parsed *pires.Header
	if err == nil {
		// All of it at once, as the library wants to have it.
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

// unmapped gives an IPv4 address that is written as IPv6 as what it is.
func unmapped(addr *net.TCPAddr) *net.TCPAddr {
	if ip := addr.IP.To4(); ip != nil {
		return &net.TCPAddr{IP: ip, Port: addr.Port}
	}
	return addr
}
