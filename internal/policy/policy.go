// Package policy bounds the users of one public port, beyond the limits that a relay has
// for everybody: which addresses they may come from, how many, how often and how much. A
// tokens file has a policy for each identity, and a relay client may ask for its own
// within it. All values are read and written here, as people type them.
//
// It decides, and knows nothing of who asks. It keeps no count: package admission does.
package policy

import (
	"net/netip"
	"slices"
)

// Policy says which users may come to a public port, how many and how much. The zero
// value admits everybody, without bound.
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

// AllowOnly returns the lists for Allow by which only users from these networks may
// come. Without networks everybody may.
func AllowOnly(networks []netip.Prefix) [][]netip.Prefix {
	if len(networks) == 0 {
		return nil
	}
	return [][]netip.Prefix{networks}
}

// Within returns what p asks for as far as upper allows it: the smaller of two numbers,
// all networks that are denied, and only users that both admit.
func (p Policy) Within(upper Policy) Policy {
	return Policy{
		// Lists are kept side by side. What is in both could be empty, and an
		// empty list must not become one that admits everybody.
		Allow:          slices.Concat(p.Allow, upper.Allow),
		Deny:           slices.Concat(p.Deny, upper.Deny),
		Users:          tighter(p.Users, upper.Users),
		UsersPerSecond: tighter(p.UsersPerSecond, upper.UsersPerSecond),
		BytesPerSecond: tighter(p.BytesPerSecond, upper.BytesPerSecond),
	}
}

// tighter returns the smaller bound. What is not positive is none, so that no negative
// number gets past a bound.
func tighter[N int | int64](a, b N) N {
	switch {
	case a <= 0:
		return max(b, 0)
	case b <= 0:
		return a
	}
	return min(a, b)
}

// Admits reports whether a user may come from an address.
func (p Policy) Admits(addr netip.Addr) bool {
	// An IPv4 address is the same one on a socket that takes both, and no network
	// contains an address with a zone.
	addr = addr.Unmap().WithZone("")
	if contains(p.Deny, addr) {
		return false
	}
	for _, allowed := range p.Allow {
		if !contains(allowed, addr) {
			return false
		}
	}
	return true
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Equal reports whether two policies are the same.
func (p Policy) Equal(other Policy) bool {
	return slices.EqualFunc(p.Allow, other.Allow, slices.Equal) && slices.Equal(p.Deny, other.Deny) &&
		p.Users == other.Users && p.UsersPerSecond == other.UsersPerSecond && p.BytesPerSecond == other.BytesPerSecond
}

// None reports whether there is no bound at all.
func (p Policy) None() bool {
	return len(p.Allow) == 0 && len(p.Deny) == 0 && p.Users <= 0 && p.UsersPerSecond <= 0 && p.BytesPerSecond <= 0
}
