package endpoint

import (
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
)

// members are the tunnels that are bound to an endpoint: at most one, unless they are a group.
// Endpoint.mu guards them.
type members struct {
	all   []*Tunnel // the oldest first
	ready []*Tunnel // those that are given users
}

// add binds t, in place of the tunnel that it replaces, which add returns, or nil.
func (m *members) add(t *Tunnel) (replaced *Tunnel) {
	if len(m.all) > 0 {
		replaced = m.all[0]
		replaced.bound = false
		m.all = m.all[:0]
	}
	m.all = append(m.all, t)
	t.bound = true
	m.update()
	return replaced
}

// remove unbinds t.
func (m *members) remove(t *Tunnel) {
	m.all = slices.DeleteFunc(m.all, func(other *Tunnel) bool { return other == t })
	t.bound = false
	m.update()
}

// update finds out which tunnels are given users.
func (m *members) update() {
	m.ready = m.ready[:0]
	for _, t := range m.all {
		if !t.down {
			m.ready = append(m.ready, t)
		}
	}
}

// pick returns the tunnel for a user, or nil if the user has to wait for one.
func (m *members) pick() *Tunnel {
	if len(m.ready) == 0 {
		return nil
	}
	return m.ready[0]
}

// areDown reports whether there are tunnels, and none is given users.
func (m *members) areDown() bool { return len(m.all) > 0 && len(m.ready) == 0 }

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
	return e.members.all[0].about()
}

// Tunnels returns the tunnels that are bound, the oldest first. There is at most one, unless
// they are a group.
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

// bind has t serve the endpoint. It takes over from the tunnel that it replaces: that one
// gets no more users, and those it has may finish. It fails if the endpoint is closed.
func (e *Endpoint) bind(t *Tunnel) error {
	e.mu.Lock()
	err := e.reason
	if err == nil && e.Lease != nil {
		err = e.Lease.Activate(t.Instance)
	}
	if err != nil {
		e.mu.Unlock()
		return err
	}
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
	e.mu.Unlock()
	e.CloseIfUnbound(reason)
	if e.Lease != nil {
		e.Lease.Save()
	}
}

// setDown has the tunnel be given no users, who wait as if it did not serve the endpoint, or
// be given users again.
func (t *Tunnel) setDown(down bool) {
	e := t.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	t.down = down
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
