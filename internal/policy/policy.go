// Package policy is what bounds the users of one public port, beyond the limits that
// a relay has for everybody: which addresses they may come from, how many, how
// often and how much. A tokens file has such bounds for each identity, and a relay
// client may wish for its own within them.
//
// It decides, and keeps no count: that is internal/server.
package policy

import (
	"net/netip"
	"slices"
)

// Policy are guard rails on a public port: who may come, how many and how much.
// The zero value lets everybody come, without bound.
type Policy struct {
	// Allow has lists of which each has to have a user's address in it. None
	// admits everybody; a list that is empty admits nobody.
	Allow [][]netip.Prefix
	// Deny are networks that nobody may come from, allowed or not.
	Deny []netip.Prefix
	// Users of one tunnel at a time; 0 is no bound.
	Users int
	// UsersPerSecond are new users of one tunnel from one source; 0 is no bound.
	UsersPerSecond int
	// BytesPerSecond of one tunnel; 0 is no bound.
	BytesPerSecond int64
}

// Within gives what r wishes for as far as upper allows it: the smaller of two
// numbers, all networks that are denied, and only users whom both admit.
func (r Policy) Within(upper Policy) Policy {
	return Policy{
		// Lists are kept side by side. What is in both could be empty, and an
		// empty list must not become one that admits everybody.
		Allow:          slices.Concat(r.Allow, upper.Allow),
		Deny:           slices.Concat(r.Deny, upper.Deny),
		Users:          tighter(r.Users, upper.Users),
		UsersPerSecond: tighter(r.UsersPerSecond, upper.UsersPerSecond),
		BytesPerSecond: tighter(r.BytesPerSecond, upper.BytesPerSecond),
	}
}

// tighter gives the smaller bound. What is not positive is none, so that no wish
// for a negative number gets past a bound.
func tighter[N int | int64](a, b N) N {
	switch {
	case a <= 0:
		return max(b, 0)
	case b <= 0:
		return a
	}
	return min(a, b)
}

// Admits tells whether a user may come from an address.
func (r Policy) Admits(addr netip.Addr) bool {
	// An IPv4 address is the same one on a socket that takes both, and no network
	// contains an address with a zone.
	addr = addr.Unmap().WithZone("")
	if contains(r.Deny, addr) {
		return false
	}
	for _, allowed := range r.Allow {
		if !contains(allowed, addr) {
			return false
		}
	}
	return true
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Equal tells whether two rails are the same.
func (r Policy) Equal(other Policy) bool {
	return slices.EqualFunc(r.Allow, other.Allow, slices.Equal) && slices.Equal(r.Deny, other.Deny) &&
		r.Users == other.Users && r.UsersPerSecond == other.UsersPerSecond && r.BytesPerSecond == other.BytesPerSecond
}

// None tells whether there is no bound at all.
func (r Policy) None() bool {
	return len(r.Allow) == 0 && len(r.Deny) == 0 && r.Users <= 0 && r.UsersPerSecond <= 0 && r.BytesPerSecond <= 0
}
