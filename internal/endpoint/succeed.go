package endpoint

import (
	"errors"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
)

// Successor is another process, which has taken over from this one.
type Successor interface {
	// User hands over a user who is not joined, and what has been read of it. Public is
	// where a load balancer has said that the user had come, or nil. User takes c over, and
	// may wait.
	User(port int, c conn.Conn, first []byte) error
}

// errSucceeded is why an endpoint closes that another process has.
var errSucceeded = observe.WithReason(errors.New("another process of the relay has the port"), observe.Upgraded)

// Succeed has another process take over. Endpoints that are leased and that nobody serves are
// its own from now on, each other one when HandOver is called for it, or when its last tunnel
// ends. Users who wait at such an endpoint are handed over. Leases stay as they are.
func (g *Group) Succeed(s Successor) {
	g.successor.Store(&s)
	for _, e := range g.All() {
		if e.Lease != nil {
			e.closeWith(errSucceeded) // if there is no tunnel, also one that an earlier process serves
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lookDesertedLocked()
}

// Deserted is closed when another process has taken over, and neither an endpoint nor a user is
// left here.
func (g *Group) Deserted() <-chan struct{} { return g.deserted }

func (g *Group) lookDesertedLocked() {
	if len(g.known) > 0 || g.successor.Load() == nil {
		return
	}
	select {
	case <-g.deserted:
	default:
		close(g.deserted)
	}
}

// HandOver closes the endpoint for the process that has taken over: an instance serves it
// there. The tunnels here get no more users, and those that they have may finish.
func (e *Endpoint) HandOver(instance string) {
	tunnels := e.Tunnels()
	reason := errTakenOver
	for _, t := range tunnels {
		if t.Instance != "" && t.Instance == instance {
			reason = errAnew
		}
	}
	e.Close(reason)
	for _, t := range tunnels {
		protocol.StopAccepting(t.Session)
	}
}

// Hold has an endpoint without a tunnel stand, and its lease not be away: another process
// serves it. That ends with the first tunnel, or with Unhold.
func (e *Endpoint) Hold() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = true
}

// Unhold ends Hold. Without a tunnel the endpoint is away from now on.
func (e *Endpoint) Unhold(reason error) {
	e.mu.Lock()
	was := e.held
	e.held = false
	e.mu.Unlock()
	if was {
		e.CloseIfUnbound(reason)
	}
}

// IsHeld reports whether another process serves the endpoint.
func (e *Endpoint) IsHeld() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.held
}

// passOn hands a user over who is not joined, if the endpoint is another process's. It reports
// whether it did. It does not wait.
func (e *Endpoint) passOn(u *user) bool {
	successor := e.group.successor.Load()
	if successor == nil || e.Lease == nil || e.Reason() == nil {
		return false
	}
	e.group.running.Go(func() {
		if err := (*successor).User(e.Port, u.conn, u.first); err != nil {
			u.tellReset(err)
		}
	})
	return true
}

// Bridge joins two connections of which neither is a user's, as long as the group stands.
func (g *Group) Bridge(a, b conn.Conn) {
	g.running.Add(1)
	g.joins.Join(g.closed, a, b, join.Options{}, func(r join.Result) {
		defer g.running.Done()
		g.Crashed(r.Err)
	})
}

// OwnerNow returns who may have the port back at once.
func (e *Endpoint) OwnerNow() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Owner
}

// IsPaused reports whether the operator has users refused.
func (e *Endpoint) IsPaused() bool { return e.paused.Load() != nil }
