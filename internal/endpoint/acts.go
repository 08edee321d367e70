package endpoint

import (
	"errors"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// Why the operator has users or tunnels ended, or refused.
var (
	errEnded  = observe.WithReason(errors.New("the operator has ended the connection"), observe.EndedByOperator)
	errClosed = observe.WithReason(errors.New("the operator has closed the tunnel"), observe.ClosedByOperator)
	errPaused = observe.WithReason(errors.New("the operator has paused the tunnel"), observe.Paused)
	errBanned = observe.WithReason(errors.New("the operator has banned the address"), observe.BannedByOperator)
)

// EndUser resets a joined user's connection, and reports whether there is such a user.
func (g *Group) EndUser(id uint64) bool {
	for _, e := range g.allKnown() {
		if e.roster.Stop(id, errEnded) {
			return true
		}
	}
	return false
}

// Find returns the open endpoint with an ID, or nil.
func (g *Group) Find(id uint64) *Endpoint {
	for _, e := range g.All() {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// End closes the endpoint for the operator: its lease ends, its tunnels, and all users. The
// relay clients may register again.
func (e *Endpoint) End() {
	tunnels := e.Tunnels()
	e.Close(errClosed) // first, or users would come meanwhile
	e.roster.Close(errClosed)
	for _, t := range tunnels {
		e.group.Go(func() { _ = t.Session.Close() })
	}
}

// Pause has new users reset until Resume. A user who waits already is reset instead of being
// joined. Users who are joined go on, and so does the lease.
func (e *Endpoint) Pause() {
	now := time.Now()
	if e.paused.CompareAndSwap(nil, &now) {
		e.group.config.Events.Observe(observe.Event{Name: observe.TunnelPaused, Tunnel: e.about()})
	}
}

// Resume ends Pause.
func (e *Endpoint) Resume() {
	if e.paused.Swap(nil) != nil {
		e.group.config.Events.Observe(observe.Event{Name: observe.TunnelResumed, Tunnel: e.about()})
	}
}

// refusal returns why the operator has a user refused, or nil.
func (e *Endpoint) refusal(addr net.Addr) error {
	switch {
	case e.paused.Load() != nil:
		return errPaused
	case e.group.config.Admission.Bans.Has(addr):
		return errBanned
	}
	return nil
}

// EndBanned ends the users and the tunnels whose address is banned. The leases stand until
// their time is over.
func (g *Group) EndBanned() {
	match := g.config.Admission.Bans.Has
	for _, e := range g.allKnown() {
		e.roster.StopAll(func(u *joinedUser) bool { return match(u.addr) || u.tunnel.isBanned() }, errBanned)
		for _, t := range e.Tunnels() {
			if t.isBanned() {
				t.endBanned()
			}
		}
	}
}

func (t *Tunnel) isBanned() bool { return t.endpoint.group.config.Admission.Bans.Has(t.Addr) }

func (t *Tunnel) endBanned() {
	t.end(errBanned)
	t.endpoint.group.Go(func() { _ = t.Session.Close() })
}
