package admission

import (
	"net"
	"net/netip"
	"slices"

	"github.com/seed96252745/relay/internal/conn"
)

// Source is the unit in which peers are counted: an IPv4 address, or the /64 that an IPv6
// address is in, since that is the least that a customer is given. The zero value is that
// of all peers without an IP address, which are counted as one.
type Source struct {
	addr   netip.Addr
	shared bool // see IsShared
}

// prefixBits is the length of an IPv6 source.
const prefixBits = 64

// SourceOf returns the source of a peer's address.
func SourceOf(peer net.Addr) Source {
	addr := conn.AddrPort(peer).Addr()
	if addr.Is6() {
		prefix, _ := addr.Prefix(prefixBits) // fails for fewer bits only
		addr = prefix.Addr()
	}
	return Source{addr: addr}
}

// IsLoopback reports whether the source is the machine itself.
func (s Source) IsLoopback() bool { return s.addr.IsLoopback() || s.addr == loopback6 }

// loopback6 is what becomes of ::1.
var loopback6 = netip.IPv6Unspecified()

// As16 returns the address, or that of the prefix, in 16 bytes.
func (s Source) As16() [16]byte { return s.addr.As16() }

// String returns the address, or the prefix.
func (s Source) String() string {
	if s.addr.Is6() {
		return s.Prefix().String()
	}
	return s.addr.String()
}

// Bits of networks that are counted together: what one customer is given, mostly, and
// for IPv4 what is routed apart at all.
const (
	networkBits4 = 24
	networkBits6 = 48
)

// Network returns the network that the source is in, as a source of its own: a /24 of
// IPv4, or a /48 of IPv6.
func (s Source) Network() Source {
	bits := networkBits4
	if s.addr.Is6() {
		bits = networkBits6
	}
	network, _ := s.addr.Prefix(bits) // fails for the source without an address only
	return Source{addr: network.Addr()}
}

// MarkShared returns the source, marked as shared if it is the machine itself, or a
// private address within these networks, where the load balancers are. It is for the peer
// of a connection: one that a load balancer has named has an address of its own.
func (s Source) MarkShared(networks []netip.Prefix) Source {
	s.shared = s.IsLoopback() ||
		len(networks) > 0 && s.addr.IsPrivate() && slices.ContainsFunc(networks, s.Prefix().Overlaps)
	return s
}

// IsShared reports whether peers that have nothing to do with each other are known to
// share the source, as those behind a proxy do. Limits for one source do not hold for it.
func (s Source) IsShared() bool { return s.shared }

// Prefix returns the address, or the prefix, as a network. It is zero for the zero Source.
func (s Source) Prefix() netip.Prefix {
	bits := s.addr.BitLen()
	if s.addr.Is6() {
		bits = prefixBits
	}
	return netip.PrefixFrom(s.addr, bits)
}
