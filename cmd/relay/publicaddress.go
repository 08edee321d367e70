package main

import (
	"net"
	"net/netip"
	"slices"
)

// route returns the address of this machine from which packets go to another one.
type route func(network, to string) (netip.Addr, error)

// systemRoute asks the system. A UDP socket that is connected has looked for a route, and
// sends nothing.
func systemRoute(network, to string) (netip.Addr, error) {
	c, err := net.Dial(network, to)
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = c.Close() }()
	from, err := netip.ParseAddrPort(c.LocalAddr().String())
	return from.Addr(), err
}

// publicAddress returns the address at which the internet reaches this machine, or "" if that
// is not known: behind NAT, or in a container, the address towards the internet is a private
// one. IPv4 comes first, since not everybody has IPv6.
func publicAddress(from route) string {
	// Two root name servers (a.root-servers.net) stand for the internet: whatever there is a
	// route to, they are on it.
	for _, way := range [][2]string{{"udp4", "198.41.0.4:53"}, {"udp6", "[2001:503:ba3e::2:30]:53"}} {
		if addr, err := from(way[0], way[1]); err == nil && isPublic(addr) {
			return addr.String()
		}
	}
	return ""
}

// notPublic are networks that the internet does not reach, from IANA's registries of
// addresses with a special purpose, beside those that package netip knows: the shared
// addresses of providers, tests and documentation, and tunnels of IPv6 through IPv4.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

// globalUnicast is what IANA has given out of IPv6.
var globalUnicast = netip.MustParsePrefix("2000::/3")

func isPublic(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && (addr.Is4() || globalUnicast.Contains(addr)) &&
		!slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(addr) })
}
