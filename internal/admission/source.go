package admission

import (
	"net"
	"net/netip"
	"slices"
)

// Source is who stands behind an address: an IPv4 address, or the /64 that an
// IPv6 address is in, since that is the least that anybody is given. The zero
// value is whoever has no address.
type Source struct {
	addr netip.Addr
	many bool // see StandsForMany
}

// prefixBits is how much of an IPv6 address tells sources apart.
const prefixBits = 64

// SourceOf gives the source of a peer's address.
func SourceOf(peer net.Addr) Source {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return Source{}
	}
	// An IPv4 address is the same one on a socket that takes both.
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(prefixBits) // fails for fewer bits only
		addr = prefix.Addr()
	}
	return Source{addr: addr}
}

// IsLoopback tells whether the source is the machine itself.
func (s Source) IsLoopback() bool { return s.addr.IsLoopback() || s.addr == loopback6 }

// loopback6 is what becomes of ::1.
var loopback6 = netip.IPv6Unspecified()

// String gives the address, or the prefix.
func (s Source) String() string {
	if s.addr.Is6() {
		return s.prefix().String()
	}
	return s.addr.String()
}

// Bits of networks that are counted together: what one customer is given, mostly, and
// for IPv4 what is routed apart at all.
const (
	networkBits4 = 24
	networkBits6 = 48
)

// Network gives the network that the source is in, as a source of its own: a /24 of
// IPv4, or a /48 of IPv6.
func (s Source) Network() Source {
	bits := networkBits4
	if s.addr.Is6() {
		bits = networkBits6
	}
	network, _ := s.addr.Prefix(bits) // fails for the source without an address only
	return Source{addr: network.Addr()}
}

// AsPeer gives the source as the one that has connected itself, which stands for many if
// it is the machine itself, or a private address of these networks, behind which are
// proxies. Whom a load balancer names does so at no address.
func (s Source) AsPeer(networks []netip.Prefix) Source {
	s.many = s.IsLoopback() ||
		len(networks) > 0 && s.addr.IsPrivate() && slices.ContainsFunc(networks, s.prefix().Overlaps)
	return s
}

// StandsForMany reports whether many come from the source who have nothing to do with
// each other, as far as that is known.
func (s Source) StandsForMany() bool { return s.many }

func (s Source) prefix() netip.Prefix {
	bits := s.addr.BitLen()
	if s.addr.Is6() {
		bits = prefixBits
	}
	return netip.PrefixFrom(s.addr, bits)
}
