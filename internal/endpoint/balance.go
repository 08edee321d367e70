package endpoint

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/wire"
)

// Terms are what the members of a group have in common.
type Terms struct {
	Balance wire.Balance
	Port    int           // that they ask for; 0 is any
	Policy  policy.Policy // that they ask for
}

// differences returns in what other terms differ, of an endpoint with that port.
func (t Terms) differences(other Terms, port int) string {
	var all []string
	number := func(option string, theirs, own int64) {
		if theirs != own {
			all = append(all, fmt.Sprintf("%s (%s there, %s here)", option, orNone(theirs), orNone(own)))
		}
	}
	if theirs, own := cmp.Or(t.Balance, wire.BalanceLeast), cmp.Or(other.Balance, wire.BalanceLeast); theirs != own {
		all = append(all, fmt.Sprintf("%s (%s there, %s here)", wire.OptionBalance, theirs, own))
	}
	if other.Port != 0 && other.Port != port {
		number(wire.OptionPort, int64(port), int64(other.Port))
	}
	theirs, own := t.Policy, other.Policy
	if !slices.EqualFunc(theirs.Allow, own.Allow, slices.Equal) {
		all = append(all, wire.OptionAllow)
	}
	if !slices.Equal(theirs.Deny, own.Deny) {
		all = append(all, wire.OptionDeny)
	}
	number(wire.OptionUsers, int64(theirs.Users), int64(own.Users))
	number(wire.OptionUsersPerSecond, int64(theirs.UsersPerSecond), int64(own.UsersPerSecond))
	number(wire.OptionBytesPerSecond, theirs.BytesPerSecond, own.BytesPerSecond)
	return strings.Join(all, ", ")
}

func orNone(n int64) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

// What a member of a group has against it. The worst outweighs all others.
const (
	late   = 1 << iota // a user has just waited for it in vain
	absent             // its relay client may be gone, or frozen
	tried              // this very user has waited for it in vain
)

// lateFor is for how long a member comes after others once a user has waited for it in vain. By
// then a probe has mostly shown how it does.
const lateFor = 10 * time.Second

// pick returns the tunnel for a user of a source, or nil if the user has to wait for one. Of a
// group it is one of those with least against them; those that were tried come last.
func (m *members) pick(source admission.Source, triedBefore uint64) *Tunnel {
	if len(m.ready) < 2 {
		if len(m.ready) == 0 {
			return nil
		}
		return m.ready[0]
	}
	var best *Tunnel
	var least int
	var lowest uint64
	at := m.next
	for i := range m.ready {
		place := (m.next + i) % len(m.ready)
		t := m.ready[place]
		against := t.against(triedBefore)
		rank := m.rank(t, source)
		if best == nil || against < least || against == least && rank < lowest {
			best, least, lowest, at = t, against, rank, place
		}
	}
	m.next = (at + 1) % len(m.ready)
	return best
}

// rank returns by what members are chosen that have equally much against them: the lowest is,
// and of several the next in turn.
func (m *members) rank(t *Tunnel, source admission.Source) uint64 {
	switch m.terms.Balance {
	case wire.BalanceRoundRobin:
		return 0
	case wire.BalanceSource:
		return rendezvous(t, source)
	}
	return uint64(t.load.Load()) //nolint:gosec // a count
}

// against returns what a member has against it.
func (t *Tunnel) against(triedBefore uint64) (sum int) {
	if triedBefore&t.bit() != 0 {
		sum |= tried
	}
	if t.absent != nil && t.absent.Absent() {
		sum |= absent
	}
	if t.late > 0 && time.Since(t.Since)-t.late < lateFor {
		sum |= late
	}
	return sum
}

// rendezvous mixes a member with a source. Each source has the member with the lowest result
// (highest random weight hashing, Thaler and Ravishankar 1996): one that leaves takes the
// sources along that it had, and no others. The member's key is a hash already, and nobody's
// to choose so as to draw certain sources.
func rendezvous(t *Tunnel, source admission.Source) uint64 {
	addr := source.As16()
	mixed := mix(binary.BigEndian.Uint64(t.Key[:8]) ^ binary.BigEndian.Uint64(addr[:8]))
	return mix(mixed ^ binary.BigEndian.Uint64(t.Key[8:16]) ^ binary.BigEndian.Uint64(addr[8:]))
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood 2014): every bit of x changes
// half of the result's.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
