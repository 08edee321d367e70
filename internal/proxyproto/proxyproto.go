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

// noticeType is of the range that the specification leaves to applications.
const noticeType pires.PP2Type = 0xe4

// HeaderWithNotice is Header of version 2, with something for the relay client to know
// besides, of 256 bytes at most. Nil is nothing.
func HeaderWithNotice(user, public net.Addr, notice []byte) ([]byte, error) {
	if len(notice) == 0 {
		return Header(2, user, public)
	}
	header := pires.HeaderProxyFromAddrs(2, tcpOnly(user), tcpOnly(public))
	if err := header.SetTLVs([]pires.TLV{{Type: noticeType, Value: notice}}); err != nil {
		return nil, fmt.Errorf("PROXY header with a notice: %w", err)
	}
	return format(header, user)
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
