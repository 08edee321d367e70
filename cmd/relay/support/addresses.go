package support

import (
	"fmt"
	"net/netip"
	"regexp"
)

// Addresses replaces addresses by names, each by the same one wherever it stands: what one
// user has done can still be followed. Its zero value is ready.
type Addresses struct{ names map[netip.Addr]string }

// candidate matches what may be an IPv6 or an IPv4 address, with its zone.
var candidate = regexp.MustCompile(`(?:\b[0-9A-Fa-f]{1,4})?:[0-9A-Fa-f:]+(?:\.\d+){0,3}(?:%[\w.-]+)?|\d+\.\d+\.\d+\.\d+`)

// Replace returns text with address-1, address-2 and so on in place of addresses. Those of
// the machine itself, such as 127.0.0.1 and ::, stay.
func (a *Addresses) Replace(text string) string {
	return candidate.ReplaceAllStringFunc(text, func(found string) string {
		// A colon behind an IPv6 address may belong to the text, as in "2001:db8::1: refused".
		rest := ""
		addr, err := netip.ParseAddr(found)
		for err != nil && len(found) > 2 && found[len(found)-1] == ':' {
			found, rest = found[:len(found)-1], found[len(found)-1:]+rest
			addr, err = netip.ParseAddr(found)
		}
		if err != nil {
			return found + rest
		}
		addr = addr.Unmap()
		if addr.IsLoopback() || addr.IsUnspecified() {
			return found + rest
		}
		return a.name(addr) + rest
	})
}

func (a *Addresses) name(addr netip.Addr) string {
	if a.names == nil {
		a.names = make(map[netip.Addr]string)
	}
	name, ok := a.names[addr]
	if !ok {
		name = fmt.Sprintf("address-%d", len(a.names)+1)
		a.names[addr] = name
	}
	return name
}
