package endpoint

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/roster"
)

// Place is what an endpoint stands on. All but Lease and Ready is needed.
type Place struct {
	Port    int
	Account *admission.Account // what its users count against
	Source  admission.Source   // that it counts against, unless Owner is Unbound
	Owner   string             // who may have the port back at once
	// Lease is whose the port is while nobody serves it. Without one the endpoint ends
	// with its tunnel.
	Lease *lease.Handle
	// Ready reports whether users can reach the port. Nil is that they can.
	Ready func() bool
	// Free is called once, when the endpoint has taken its last user and has not ended its
	// tunnel yet. It gives back the port, which was owner's.
	Free func(owner string, reason error)
}

// Unbound is the owner of an endpoint whose lease was restored, and whose owner is no
// identity and has not come yet. It counts against nobody.
const Unbound = "unbound"

// Endpoint is where users of one address are admitted, and joined with the relay clients
// that serve it. If it is leased it stays open while none does, and users wait. Its
// methods may be called concurrently.
type Endpoint struct {
	ID     uint64 // in the group
	Opened time.Time

	group    *Group
	Place                                           // Source and Owner are guarded by mu
	waiting  chan struct{}                          // holds one for each user who waits for the relay client
	policy   atomic.Pointer[admission.TunnelPolicy] // of the tunnel; nil is none
	paused   atomic.Pointer[time.Time]              // since when users are refused; nil is that they are not
	delayed  admission.BoundedCounter               // users who wait because they have come too fast
	order    order                                  // in which users have come
	excess   atomic.Pointer[excess]                 // nil until there is some
	done     chan struct{}                          // closed when no more users are taken
	released sync.Once
	roster   roster.Roster[joinedUser]

	// Guarded by Group.mu.
	live      int  // tunnels that may have users
	discarded bool // no tunnel comes any more

	mu      sync.Mutex // guards what follows
	reason  error      // why done is closed
	members members
	held    bool          // another process serves it: see Hold
	left    time.Time     // when a tunnel was unbound last
	takes   bool          // a tunnel is given users
	bound   chan struct{} // closed while takes
}

// maxWaiting is the most that Config.Waiting can be: each user who waits is a goroutine.
const maxWaiting = 1 << 20

// New returns an endpoint without a tunnel, which is the one of its port until it is
// closed. Start has to follow, or Close.
func (g *Group) New(p Place) *Endpoint {
	e := &Endpoint{
		ID:      g.lastEndpoint.Add(1),
		Opened:  time.Now(),
		group:   g,
		Place:   p,
		waiting: make(chan struct{}, min(g.config.Waiting, maxWaiting)),
		done:    make(chan struct{}),
		bound:   make(chan struct{}),
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[p.Port] = e
	g.known[e] = struct{}{}
	return e
}

// Start runs serve, with which users enter, until it returns; the endpoint is closed then.
// It fails if the relay shuts down, and has closed the endpoint in this case.
func (e *Endpoint) Start(serve func(context.Context) error) error {
	g := e.group
	g.mu.Lock()
	draining := g.draining.Err() != nil
	if !draining {
		g.running.Go(func() { e.run(serve) })
	}
	g.mu.Unlock()
	if draining {
		e.Close(ErrDraining)
		return ErrDraining
	}
	return nil
}

func (e *Endpoint) run(serve func(context.Context) error) {
	defer e.Discard()
	defer func() {
		if c := crash.Caught(recover()); c != nil {
			e.group.Crashed(c)
			e.Close(c)
		}
	}()
	err := serve(e.group.draining)
	if c := (*crash.Error)(nil); errors.As(err, &c) {
		e.group.Crashed(c)
		e.Close(c)
	}
}

// Close closes the endpoint for the given reason, and with it its tunnels.
func (e *Endpoint) Close(reason error) { e.closeIf(reason, func() bool { return true }) }

// closeWith is Close if these are the tunnels that are bound.
func (e *Endpoint) closeWith(reason error, tunnels ...*Tunnel) {
	e.closeIf(reason, func() bool { return slices.Equal(e.members.all, tunnels) })
}

// closeIf is Close unless the endpoint is closed, if may allows it, which is asked with
// the lock held.
func (e *Endpoint) closeIf(reason error, may func() bool) {
	e.mu.Lock()
	first := e.reason == nil && may()
	var tunnels []*Tunnel
	if first {
		e.reason, tunnels = reason, slices.Clone(e.members.all)
	}
	e.mu.Unlock()
	if !first {
		return
	}
	e.endLease(reason) // first, or an owner who sees the end would find this endpoint
	e.endExcess()
	close(e.done)
	e.Discard() // before a tunnel is seen to end: the port may be wanted at once
	for _, t := range tunnels {
		t.end(reason)
	}
}

// Discard gives back the port of an endpoint that was not started. Its lease is left to
// the caller. Only the first call counts.
func (e *Endpoint) Discard() {
	e.released.Do(func() {
		g := e.group
		e.mu.Lock()
		reason, owner := e.reason, e.Owner
		e.mu.Unlock()
		g.config.Admission.Accounts.Close(e.Account)
		g.mu.Lock()
		if g.open[e.Port] == e {
			delete(g.open, e.Port)
		}
		e.discarded = true
		g.forgetLocked(e)
		g.mu.Unlock()
		e.Free(owner, reason)
	})
}

// endLease ends the lease, if there is one, and tells that its owner will not find the
// port again. While the relay shuts down the lease is kept for its next start, and for another
// process that has taken over from this one.
func (e *Endpoint) endLease(reason error) {
	switch {
	case e.Lease == nil:
		return
	case errors.Is(reason, ErrDraining), e.group.successor.Load() != nil:
		e.Lease.Suspend(reason)
		return
	}
	e.Lease.Release(reason)
	e.mu.Lock()
	source := e.Source
	e.mu.Unlock()
	is := e.Lease.Lease()
	ended := is.EndEvent(reason)
	ended.Source = source.Prefix()
	if !is.Until.IsZero() {
		ended.Duration = e.Lease.AwayFor()
	}
	e.group.config.Events.Observe(ended)
}

// Reason returns why the endpoint is closed, or nil if it is open.
func (e *Endpoint) Reason() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reason
}

// BindOwner has an unbound endpoint be owner's, and count against source, even beyond what
// that may have: the port is open, and what others of the network have opened meanwhile
// does not keep its owner out. It fails if the endpoint is closed.
func (e *Endpoint) BindOwner(owner string, source admission.Source) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reason == nil && e.Owner == Unbound {
		e.Source, e.Owner = source, owner
		e.Lease.Bind(owner)
		admission := e.group.config.Admission
		admission.Accounts.Bind(e.Account, owner, admission.CountTunnel(source))
	}
	return e.reason
}

// CloseFor is Close, and keeps the port of an unbound endpoint for owner.
func (e *Endpoint) CloseFor(owner string, reason error) {
	e.mu.Lock()
	if e.Owner == Unbound {
		e.Owner = owner
	}
	e.mu.Unlock()
	e.Close(reason)
}

// HasUsers reports whether the port would go on to count if the endpoint were closed.
func (e *Endpoint) HasUsers() bool { return e.Account.Users() > 0 }

// Why a tunnel ends, besides what its session says.
var (
	errTakenOver = observe.WithReason(errors.New("another relay client has shown the same lease key, and has taken over"), observe.TakenOver)
	errAnew      = observe.WithReason(errors.New("the relay client has registered anew, and goes on so"), observe.RegisteredAnew)
)

// CloseIfUnbound closes an endpoint that has no tunnel for the given reason if it is not
// leased. A lease is away from now on.
func (e *Endpoint) CloseIfUnbound(reason error) {
	e.mu.Lock()
	closes := e.reason == nil && len(e.members.all) == 0 && !e.held
	switch {
	case !closes || e.Lease == nil:
	case e.group.successor.Load() != nil:
		reason = errSucceeded // nobody comes here any more
	default:
		reason = e.Lease.Away() // why it may not stand any more
		closes = reason != nil
	}
	e.mu.Unlock()
	if closes {
		e.closeWith(reason)
	}
}
