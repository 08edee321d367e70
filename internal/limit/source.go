package limit

import (
	"net"
	"net/netip"
)

// Source is who stands behind an address: an IPv4 address, or the /64 that an
// IPv6 address is in, since that is the least that anybody is given. The zero
// value is whoever has no address.
type Source struct{ addr netip.Addr }

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
	return Source{addr}
}

// IsLoopback tells whether the source is the machine itself.
func (s Source) IsLoopback() bool { return s.addr.IsLoopback() || s == loopback6 }

// loopback6 is what becomes of ::1.
var loopback6 = Source{netip.IPv6Unspecified()}

// String gives the address, or the prefix.
func (s Source) String() string {
	if s.addr.Is6() {
		return netip.PrefixFrom(s.addr, prefixBits).String()
	}
	return s.addr.String()
}
