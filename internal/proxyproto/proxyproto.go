// Package proxyproto tells who a connection's user is. A relay, like every proxy,
// hides that: whoever is behind it sees the proxy's address. The PROXY protocol
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt) puts a header in
// front of the first byte that a connection carries, with the user's address and
// the one that the user connected to, which is called the public one here.
//
// There are two versions, a line of text and a short binary block. Where Relay is
// at both ends it uses version 2; what local servers understand, and what load
// balancers send, is either.
//
//   - [Header] makes a header, for who comes next.
//   - [Read] and [ReadEither] read one, and not a byte beyond it, so that the
//     connection can be handed on bare: what comes next is payload.
//   - [Conn] is a connection that has the addresses of its header.
//
// Headers are believed: whoever reads one decides before whom it reads them from.
// They are formatted and parsed by a library; what is done here is to know how
// much there is to be read, before it is read.
package proxyproto

import (
	"encoding/binary"
	"fmt"
	"net"

	pires "github.com/pires/go-proxyproto"
)

// Header gives the header of a version, 1 or 2, for a user who came to the public
// address. If one of the addresses is IPv4 and the other is not, both are written
// as IPv6. Of a zone nothing is said. If an address is not that of a TCP
// connection, or is nil, the header says that the user is not known. It has 107
// bytes at most.
func Header(version int, user, public net.Addr) ([]byte, error) {
	if version != 1 && version != 2 {
		return nil, fmt.Errorf("PROXY protocol: there is no version %d", version)
	}
	return format(pires.HeaderProxyFromAddrs(byte(version), tcpOnly(user), tcpOnly(public)), user)
}

// These are of the range that the specification leaves to applications.
const (
	noticeType pires.PP2Type = 0xe4
	turnType   pires.PP2Type = 0xe5
)

// Details are what a relay says to its relay client besides the addresses.
type Details struct {
	Notice []byte // of 256 bytes at most; nil is none
	Turn   Turn
}

// Turn is a user's place in the order in which users came. The zero value is none.
type Turn struct {
	Number uint64
	After  uint64 // the number of the one before from the same address, or 0
}

// HeaderWithDetails is Header of version 2, with details behind the addresses, if there
// are addresses.
func HeaderWithDetails(user, public net.Addr, details Details) ([]byte, error) {
	header, err := Header(2, user, public)
	if err != nil || addressesOf(header) == 0 {
		return header, err
	}
	if d := details.Turn; d != (Turn{}) {
		header = append(header, byte(turnType), 0, 16)
		header = binary.BigEndian.AppendUint64(header, d.Number)
		header = binary.BigEndian.AppendUint64(header, d.After)
	}
	if n := len(details.Notice); n > 0 {
		header = append(header, byte(noticeType))
		header = binary.BigEndian.AppendUint16(header, uint16(n))
		header = append(header, details.Notice...)
	}
	binary.BigEndian.PutUint16(header[fixed-2:], uint16(len(header)-fixed))
	return header, nil
}

func format(header *pires.Header, user net.Addr) ([]byte, error) {
	bytes, err := header.Format()
	if err != nil {
		return nil, fmt.Errorf("PROXY header for %v: %w", user, err)
	}
	return bytes, nil
}

// tcpOnly gives nil for all that is not the address of a TCP connection.
func tcpOnly(addr net.Addr) net.Addr {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp != nil {
		return tcp
	}
	return nil
}
