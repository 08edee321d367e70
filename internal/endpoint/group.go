// Package endpoint is where users and relay clients meet. An [Endpoint] is one address
// of the relay's: it admits users, has them wait while no relay client serves it, and
// joins each with a connection that the session of its [Tunnel] opens. A [Group] is all
// endpoints of a relay, and ends them.
//
// It knows neither how users arrive, which is package entry's, nor who may have an
// endpoint, which is package server's, nor which protocol a session has.
package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/roster"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// ErrDraining is why everything ends when the relay shuts down.
var ErrDraining = observe.WithReason(errors.New("the relay is shutting down"), observe.Draining)

// Config is what a Group is made of. All of it is needed.
type Config struct {
	Engine    *join.Engine // which the group closes
	Admission *admission.Controller
	Events    observe.Sink
	// UserWait is how long a user waits for the relay client.
	UserWait time.Duration
	// Waiting bounds the users of one endpoint who wait for it at a time. Further users
	// are not accepted until there is room.
	Waiting int
	// Probe is how often relay clients that can are asked whether they could serve a user.
	// Zero is never.
	Probe time.Duration
}

// Group is the endpoints of one relay: what they share, and what ends them together.
// Make it with NewGroup, and close it. Its methods may be called concurrently.
type Group struct {
	config  Config
	engine  *join.Engine
	joins   *join.Set        // on the engine
	watcher tcpstate.Watcher // of users who wait
	starts  starts
	pacer   pacer // of probes

	// Stages of the end. Draining: no new tunnel, no new user. Impatient: no user who
	// waits. Closed: no connection at all.
	drain, endWaits, close      context.CancelCauseFunc
	draining, impatient, closed context.Context
	running                     sync.WaitGroup // entries, users who wait, and tunnels

	userWait, probe atomic.Int64 // of the configuration, as it is now: see Reconfigure

	successor atomic.Pointer[Successor] // or nil: see Succeed
	deserted  chan struct{}             // closed when there is one, and nobody is known any more

	lastEndpoint, lastUser atomic.Uint64 // the IDs given last

	mu      sync.Mutex // guards what follows, and that nothing starts after its end
	open    map[int]*Endpoint
	known   map[*Endpoint]struct{}                    // that are open, or may have users still
	gone    roster.Totals                             // of endpoints that are not known any more
	tunnels map[admission.Source]map[*Tunnel]struct{} // that are bound
}

// NewGroup returns a group without endpoints.
func NewGroup(c Config) *Group {
	g := &Group{
		config:  c,
		engine:  c.Engine,
		open:    make(map[int]*Endpoint),
		known:   make(map[*Endpoint]struct{}),
		tunnels: make(map[admission.Source]map[*Tunnel]struct{}),
	}
	g.deserted = make(chan struct{})
	g.userWait.Store(int64(c.UserWait))
	g.probe.Store(int64(c.Probe))
	crashed := func(e *crash.Error) { g.Crashed(e) }
	g.joins, g.watcher.OnCrash = g.engine.NewSet(crashed), crashed
	g.engine.Reserve = c.Admission.Reserve
	g.closed, g.close = context.WithCancelCause(context.Background())
	g.draining, g.drain = context.WithCancelCause(g.closed)
	g.impatient, g.endWaits = context.WithCancelCause(g.closed)
	return g
}

// Draining is done when no tunnel and no user is taken any more.
func (g *Group) Draining() context.Context { return g.draining }

// Closed is done when every connection has to end.
func (g *Group) Closed() context.Context { return g.closed }

// While the relay drains, its ports are refused to everybody.
const (
	// stillLimit is for how long it waits for a connection on which nothing moves, and
	// for a relay client that has not come for its user.
	stillLimit = 2 * time.Second
	// stillQueued is the same while bytes wait for a user who reads slowly, and for what
	// was sent last to a relay client. Behind one of those may be megabytes for a local
	// server, of which a good part has to go before more is taken here.
	stillQueued = 5 * time.Second
)

// Drain closes all endpoints, and waits until their users have ended or ctx is done. It
// does not wait for users on whose connections nothing moves: they are reset. It returns
// ctx's error if users are left.
func (g *Group) Drain(ctx context.Context) error {
	g.stop(g.drain)
	g.joins.StopIdle(join.IdleLimits{Limit: stillLimit, Queued: stillQueued, Far: join.B, Ended: stillLimit})
	defer time.AfterFunc(stillLimit, func() { g.endWaits(ErrDraining) }).Stop()
	ended := make(chan struct{})
	go func() {
		g.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		g.stop(g.close)
		<-ended
		return ctx.Err()
	}
}

// Reset ends everything at once: users are reset, tunnels and endpoints are closed.
// Close waits for them.
func (g *Group) Reset() { g.stop(g.close) }

// Close is Reset, and returns when all goroutines have ended.
func (g *Group) Close() {
	g.Reset()
	g.running.Wait()
	g.starts.stop()
	g.engine.Close()
	g.watcher.Close()
}

// stop begins a stage of the end, after which nothing starts, and closes all endpoints.
func (g *Group) stop(stage context.CancelCauseFunc) {
	g.mu.Lock()
	stage(ErrDraining)
	open := slices.Collect(maps.Values(g.open))
	g.mu.Unlock()
	for _, e := range open {
		e.Close(ErrDraining)
	}
	g.starts.park(time.Now())
}

// Works returns nil when the engine has shown that it works, or ctx's error.
func (g *Group) Works(ctx context.Context) error { return g.engine.Works(ctx) }

// Go runs f, which the group waits for, on a goroutine of its own. While the group
// drains nothing new is begun that it would have to wait for, and the caller runs f.
func (g *Group) Go(f func()) {
	g.mu.Lock()
	begun := g.draining.Err() == nil
	if begun {
		g.running.Go(f)
	}
	g.mu.Unlock()
	if !begun {
		f()
	}
}

// At returns the endpoint of a public port, or nil.
func (g *Group) At(port int) *Endpoint {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open[port]
}

// All returns the endpoints that are open.
func (g *Group) All() []*Endpoint {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.open))
}

// add adds a bound tunnel, for which remove and running.Done have to follow.
func (g *Group) add(t *Tunnel) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining.Err() != nil {
		return ErrDraining
	}
	g.running.Add(1)
	t.endpoint.live++
	if g.tunnels[t.Source] == nil {
		g.tunnels[t.Source] = make(map[*Tunnel]struct{})
	}
	g.tunnels[t.Source][t] = struct{}{}
	return nil
}

// remove removes a tunnel that takes no users any more.
func (g *Group) remove(t *Tunnel) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.tunnels[t.Source], t)
	if len(g.tunnels[t.Source]) == 0 {
		delete(g.tunnels, t.Source)
	}
}

// drained notes that a tunnel that was added has no users, and gets none any more.
func (g *Group) drained(t *Tunnel) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.endpoint.live--
	g.forgetLocked(t.endpoint)
}

// forgetLocked forgets an endpoint that is closed and has no users, but for its totals.
func (g *Group) forgetLocked(e *Endpoint) {
	if _, known := g.known[e]; known && e.discarded && e.live == 0 {
		delete(g.known, e)
		g.gone = g.gone.Plus(e.roster.Totals())
		g.lookDesertedLocked()
	}
}

// ExpectedClaims is how many connections the tunnels of a source expect.
func (g *Group) ExpectedClaims(source admission.Source) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t := range g.tunnels[source] {
		if c, ok := t.Session.(protocol.Claimable); ok {
			n += c.ExpectedClaims()
		}
	}
	return n
}

// Usage is how much there is at a moment.
type Usage struct {
	Ports   int // public, those included whose owners are away
	Tunnels int
	Waiting int // users, for the relay client
	// StalledJoins is how many directions of joins move nothing as nobody reads, and
	// MaxStalledJoins how many may be until the kernel holds less for each.
	StalledJoins, MaxStalledJoins int64
}

// Usage returns how much there is.
func (g *Group) Usage() Usage {
	g.mu.Lock()
	defer g.mu.Unlock()
	usage := Usage{Ports: len(g.open)}
	usage.StalledJoins, usage.MaxStalledJoins = g.engine.Stalled()
	for _, tunnels := range g.tunnels {
		usage.Tunnels += len(tunnels)
	}
	for _, e := range g.open {
		usage.Waiting += len(e.waiting)
	}
	return usage
}

// Crashed counts and logs err if it comes from a panic, once.
func (g *Group) Crashed(err error) {
	var e *crash.Error
	if errors.As(err, &e) && e.First() {
		g.config.Admission.Counters.Add(admission.Panics)
		g.config.Events.Observe(observe.Event{Name: observe.Panicked, Level: slog.LevelError, Err: e})
	}
}
