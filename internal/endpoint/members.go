package endpoint

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
)

// MaxMembers is how many tunnels a group may have. Each user is remembered the members that
// were tried, as the bits of one number.
const MaxMembers = 64

// members are the tunnels that are bound to an endpoint: at most one, unless they are a group.
// Endpoint.mu guards them.
type members struct {
	all   []*Tunnel // in the order in which they came; a tunnel that takes over has the place of the other
	ready []*Tunnel // those that are given users
	slots uint64    // that the members of a group have: see Tunnel.slot
	terms Terms     // of all
	next  int       // in ready, with which the next choice begins
}

// Why a relay client may not serve an endpoint beside others of its group.
var (
	ErrDiffers   = errors.New("the group has other members, which differ from this one")
	ErrGroupFull = errors.New("the group has as many members as it may")
)

// admit returns an error if a relay client with that key may not serve the endpoint beside
// those who do. One that takes over from the only one may bring other terms.
func (m *members) admit(key lease.Key, group string, terms Terms, port int) error {
	others := 0
	for _, t := range m.all {
		if group != "" && t.Key != key {
			others++
		}
	}
	if others == 0 {
		return nil
	}
	if what := m.terms.differences(terms, port); what != "" {
		return fmt.Errorf("%w in: %s; give all the same, or stop the others first", ErrDiffers, what)
	}
	if others >= MaxMembers {
		return fmt.Errorf("%w: %d", ErrGroupFull, MaxMembers)
	}
	return nil
}

// add binds t, in place of the tunnel that it replaces, which add returns, or nil: in a group
// that is the one of the same relay client.
func (m *members) add(t *Tunnel) (replaced *Tunnel) {
	at := slices.IndexFunc(m.all, func(other *Tunnel) bool { return t.Group == "" || other.Key == t.Key })
	if at >= 0 {
		replaced = m.all[at]
		replaced.bound, t.slot = false, replaced.slot
		m.all[at] = t
	} else {
		t.slot = uint8(bits.TrailingZeros64(^m.slots)) //nolint:gosec // it is at most 64
		m.all = append(m.all, t)
	}
	m.slots |= t.bit()
	t.bound, m.terms = true, t.Terms
	m.update()
	return replaced
}

// remove unbinds t.
func (m *members) remove(t *Tunnel) {
	m.all = slices.DeleteFunc(m.all, func(other *Tunnel) bool { return other == t })
	m.slots &^= t.bit()
	t.bound = false
	m.update()
}

// bit has the bit of t's slot set.
func (t *Tunnel) bit() uint64 { return 1 << t.slot }

// update finds out which tunnels are given users: those that are neither down nor about to end,
// and of a group the others only that seem to work, if there are some.
func (m *members) update() {
	clear(m.ready) // or a session would be held for as long as the port stands
	m.ready = m.ready[:0]
	for _, ailing := range []bool{false, true} {
		for _, t := range m.all {
			if !t.down && !t.leaving && t.ailing == ailing {
				m.ready = append(m.ready, t)
			}
		}
		if len(m.ready) > 0 {
			return
		}
	}
}

// areDown reports whether none is given users, and of one at least that is why.
func (m *members) areDown() bool {
	return len(m.ready) == 0 && slices.ContainsFunc(m.all, func(t *Tunnel) bool { return t.down })
}

// Admit returns an error if a relay client may not serve the endpoint beside those who do. It
// is known by its key.
func (e *Endpoint) Admit(key lease.Key, group string, terms Terms) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.members.admit(key, group, terms, e.Port)
}

// about identifies the endpoint in events, by its tunnel if there is one.
func (e *Endpoint) about() observe.Tunnel {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.aboutLocked()
}

func (e *Endpoint) aboutLocked() observe.Tunnel {
	if len(e.members.all) == 0 {
		return observe.Tunnel{ID: e.ID, Port: e.Port}
	}
	about := e.members.all[0].about()
	if len(e.members.all) > 1 {
		about.RelayClient = nil // there is none that it is of
	}
	return about
}

// Tunnels returns the tunnels that are bound. There is at most one, unless they are a group.
func (e *Endpoint) Tunnels() []*Tunnel {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.members.all)
}

// enter counts somebody in who uses the tunnel's session. It reports false if the tunnel
// is not bound any more.
func (t *Tunnel) enter() bool {
	t.endpoint.mu.Lock()
	defer t.endpoint.mu.Unlock()
	if t.bound {
		t.users.Add(1)
	}
	return t.bound
}

// enterTunnel returns the tunnel for a user, and counts the user in. If none is given users,
// it returns what is closed when one is.
func (e *Endpoint) enterTunnel(u *user) (*Tunnel, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.members.pick(u.Source, u.tried)
	if t != nil {
		t.users.Add(1)
		t.load.Add(1)
		u.turn.to.Store(t)
	}
	return t, e.bound
}

// leave is called once for each user who was counted in by enterTunnel.
func (t *Tunnel) leave() {
	t.load.Add(-1)
	t.users.Done()
}

// bind has t serve the endpoint. It takes over from the tunnel that it replaces: that one
// gets no more users, and those it has may finish. It fails if the endpoint is closed, or if t
// may not serve beside the others of its group.
func (e *Endpoint) bind(t *Tunnel) error {
	e.mu.Lock()
	err := e.reason
	if err == nil {
		err = e.members.admit(t.Key, t.Group, t.Terms, e.Port)
	}
	if err == nil && e.Lease != nil {
		err = e.Lease.Activate(lease.Process{Key: t.Key, Instance: t.Instance})
	}
	if err != nil {
		e.mu.Unlock()
		return err
	}
	e.held = false
	replaced := e.members.add(t)
	e.changedLocked()
	if was := e.policy.Load(); was != nil && was.Equal(t.Policy) {
		t.policy = was // and a user whom it has admitted is not asked again
	} else {
		t.policy = e.group.config.Admission.Accounts.Apply(e.Account, t.Policy)
	}
	e.policy.Store(t.policy)
	e.mu.Unlock()
	if replaced != nil {
		reason := errTakenOver
		if replaced.Instance != "" && replaced.Instance == t.Instance {
			reason = errAnew
		}
		replaced.end(reason) // first, or that it was stopped would be the reason
		protocol.StopAccepting(replaced.Session)
	}
	if e.Lease != nil {
		e.Lease.Save() // it has no end any more, and may have another name
	}
	return nil
}

// unbind takes the endpoint from t. The endpoint closes with its last tunnel, unless it is
// leased.
func (e *Endpoint) unbind(t *Tunnel, reason error) {
	e.mu.Lock()
	if !t.bound {
		e.mu.Unlock()
		return // it was taken over from
	}
	e.members.remove(t)
	e.changedLocked()
	e.left = time.Now()
	if len(e.members.all) > 0 && e.Lease != nil {
		e.Lease.Leave(t.Key)
	}
	e.mu.Unlock()
	e.CloseIfUnbound(reason)
	if e.Lease != nil {
		e.Lease.Save()
	}
}

// setDown has the tunnel be given no users, who wait as if it did not serve the endpoint, or
// be given users again.
func (t *Tunnel) setDown(down bool) { t.change(func() { t.down = down }) }

// setLeaving has the tunnel be given no users any more, and those go on who wait for it. One
// without a lease goes on, as nobody else will be given them.
func (t *Tunnel) setLeaving() {
	if t.endpoint.Lease == nil {
		return
	}
	t.change(func() { t.leaving = true })
	t.stopStaying()
	t.endpoint.group.starts.end(t)
}

// setAiling has the tunnel be given users only if there is no better one in its group, or
// be given users again as others are.
func (t *Tunnel) setAiling(ailing bool) { t.change(func() { t.ailing = ailing }) }

// change changes what update looks at.
func (t *Tunnel) change(set func()) {
	e := t.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	set()
	e.members.update()
	e.changedLocked()
}

// changedLocked has users enter if there is a tunnel that is given users, and wait otherwise.
func (e *Endpoint) changedLocked() {
	takes := len(e.members.ready) > 0
	switch {
	case takes == e.takes:
	case takes:
		close(e.bound)
	default:
		e.bound = make(chan struct{})
	}
	e.takes = takes
}
