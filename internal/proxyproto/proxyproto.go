// Package proxyproto carries the address of a connection's user. A relay, like every
// proxy, hides it: servers behind it see the proxy's address. The PROXY protocol
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt) puts a header in front
// of the first byte that a connection carries, with the user's address and the one that
// the user connected to, which is called the public address here.
//
// There are two versions, a line of text and a short binary block. Where Relay is at
// both ends it uses version 2. Local servers understand, and load balancers send,
// either.
//
// - [Header] returns a header to write.
// - [Read] and [ReadEither] read one, and not a byte beyond it, so that the connection
// can be handed on bare: what comes next is payload.
// - [Conn] is a connection with the addresses of its header.
//
// Headers are believed: the caller decides which peers it reads them from. A library
// formats and parses them; this package finds out how much there is to read, before it
// is read.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"

	pires "github.com/pires/go-proxyproto"
)

// Header returns the header of a version, 1 or 2, for a user who came to the public
// address. If one of the addresses is IPv4 and the other is not, both are written as
// IPv6. Zones are left out. If an address is nil, or not that of a TCP connection, the
// header says that the user is unknown. It has at most 107 bytes.
func Header(version int, user, public net.Addr) ([]byte, error) {
	if version != 1 && version != 2 {
		return nil, fmt.Errorf("PROXY protocol: there is no version %d", version)
	}
	return format(pires.HeaderProxyFromAddrs(byte(version), tcpOnly(user), tcpOnly(public)), user)
}

// From the range that the specification leaves to applications.
const (
	noticeType   pires.PP2Type = 0xe4
	sequenceType pires.PP2Type = 0xe5
	probeType    pires.PP2Type = 0xe6
	controlType  pires.PP2Type = 0xe7
)

// Details are what a relay tells its relay client besides the addresses.
type Details struct {
	Notice   []byte // at most 256 bytes; nil means none
	Sequence Sequence
	// Probe reports that there is no user: the relay wants to know whether there could be.
	// The header is that of ProbeHeader.
	Probe bool
	// Control reports that there is no user: the connection is the control channel. The
	// header is that of ControlHeader.
	Control bool
}

// Sequence is a user's place in the order in which users came. The zero value means
// none.
type Sequence struct {
	Number uint64
	After  uint64 // the number of the previous user from the same address, or 0
}

// HeaderWithDetails is Header of version 2, with details behind the addresses, if there
// are addresses.
func HeaderWithDetails(user, public net.Addr, details Details) ([]byte, error) {
	header, err := Header(2, user, public)
	if err != nil || addressLen(header) == 0 {
		return header, err
	}
	if d := details.Sequence; d != (Sequence{}) {
		header = append(header, byte(sequenceType), 0, 16)
		header = binary.BigEndian.AppendUint64(header, d.Number)
		header = binary.BigEndian.AppendUint64(header, d.After)
	}
	if n := len(details.Notice); n > 0 {
		header = append(header, byte(noticeType))
		header = binary.BigEndian.AppendUint16(header, uint16(n))
		header = append(header, details.Notice...)
	}
	binary.BigEndian.PutUint16(header[fixedSize-2:], uint16(len(header)-fixedSize))
	return header, nil
}

// ProbeHeader returns the header of a probe. Its command is LOCAL, with which a proxy says
// that it has made the connection itself (section 2.2).
func ProbeHeader() []byte { return localHeader(probeType) }

// ControlHeader returns the header of a control channel, which is like that of a probe.
func ControlHeader() []byte { return localHeader(controlType) }

func localHeader(mark pires.PP2Type) []byte {
	const local, unspecified, size = 0x20, 0, 3
	header := append(bytes.Clone(pires.SIGV2), local, unspecified, 0, size)
	return append(header, byte(mark), 0, 0)
}

func format(header *pires.Header, user net.Addr) ([]byte, error) {
	formatted, err := header.Format()
	if err != nil {
		return nil, fmt.Errorf("PROXY header for %v: %w", user, err)
	}
	return formatted, nil
}

// tcpOnly returns nil for everything but the address of a TCP connection.
func tcpOnly(addr net.Addr) net.Addr {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp != nil {
		return tcp
	}
	return nil
}
