package multiplex

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
	"github.com/seed96252745/relay/internal/yamux"
)

// Relay is the relay's half, with the tunnels of several sessions by their ids. The zero
// value is ready.
type Relay struct {
	// Budget bounds what all sessions hold for users who do not read; each tunnel has a
	// bound of its own too. Nil means no bound.
	Budget *Budget
	// MaxStreams bounds the concurrent users of a tunnel on all its sessions; further ones
	// are reset. Zero means 4096.
	MaxStreams int
	// MaxSessions bounds the sessions of one tunnel. Zero means the constant MaxSessions.
	MaxSessions int
	// MaxFurther bounds the sessions of all tunnels together that are not the first ones
	// of their tunnels. A tunnel gets fewer than it asks for when there are no more, or
	// when a quarter belongs to its Grant.Holder. Zero means no bound.
	MaxFurther int
	// Counters count what happens at the limits of all sessions. Nil means not counted.
	Counters *Counters
	// Ended remembers the ids of tunnels that have ended. Nil forgets them.
	Ended protocol.Recent

	further places // of all tunnels

	mu      sync.Mutex // guards what follows
	tunnels map[wire.Key]*tunnel
}

const (
	// MaxSessions is how many sessions a relay lets a tunnel have by default: enough for
	// the processors of large machines.
	MaxSessions = 16
	// maxStreams and maxBuffered are of a tunnel, on one session or several. A thousand
	// streams fill so many bytes with windows that have not grown.
	maxStreams  = 4096
	maxBuffered = 256 << 20
)

// Counters count how often a limit was reached.
type Counters = yamux.Counters

// userTimeout is after how long the kernel gives up a peer that acknowledges nothing. It
// never comes to that: the pings of the session find out after half a minute, and are more
// reliable. Over a path that fails again and again the kernel counts from the first
// failure, though bytes have moved since.
const userTimeout = 24 * time.Hour

// Budget is a number of bytes that sessions share. When it is exhausted the stream that
// holds most is reset.
type Budget = yamux.Budget

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return yamux.NewBudget(bytes) }

var (
	_ protocol.Relay    = (*Relay)(nil)
	_ protocol.Measured = (*Relay)(nil)
	_ protocol.Knower   = (*Relay)(nil)
)

// The relay client hears of what TryOpen returns with the first bytes, or by conn.Flush,
// on every system.
var _ conn.Flusher = (*yamux.Stream)(nil)

// LogValue returns what was counted.
func (r *Relay) LogValue() slog.Value {
	c := r.Counters
	if c == nil {
		return slog.GroupValue()
	}
	return slog.GroupValue(
		slog.Int64("floods", c.Flooded.Load()),
		slog.Int64("protocolErrors", c.Broken.Load()),
		slog.Int64("silent", c.Silent.Load()),
		slog.Int64("streamsRefused", c.Refused.Load()),
		slog.Int64("waitsForAcknowledgement", c.Waited.Load()),
		slog.Int64("shedBySession", c.ShedBySession.Load()),
		slog.Int64("shedByBudget", c.ShedByBudget.Load()),
		slog.Int64("strays", c.Strays.Load()),
		slog.Int64("furtherSessions", int64(r.further.len())),
	)
}

// Usage returns what the sessions hold. It needs a Budget.
func (r *Relay) Usage() protocol.Usage {
	u := protocol.Usage{
		Sessions: r.Budget.Sessions(), Further: r.further.len(), Buffered: r.Budget.Used(), MaxBuffered: r.Budget.Limit(),
	}
	if r.Counters != nil {
		u.Shed = r.Counters.ShedByBudget.Load()
	}
	return u
}

// Verb returns multiplex's.
func (*Relay) Verb() wire.Verb { return verb }

// Register starts a yamux session on conn. If the relay client has asked for several, and
// there are places for them, it gets an id with which the others come.
func (r *Relay) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	wanted := min(g.Sessions, cmp.Or(r.MaxSessions, MaxSessions)) - 1
	if further := r.further.take(g.Holder, wanted, r.MaxFurther); further > 0 {
		return r.registerTunnel(conn, g, further)
	}
	if err := wire.WriteAnswer(conn, g.Answer, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	return r.startSession(conn, r.Budget), nil
}

// registerTunnel makes a tunnel whose first session runs on conn, and that has places for
// further ones.
func (r *Relay) registerTunnel(conn conn.Conn, g protocol.Grant, further int) (protocol.Session, error) {
	g.Answer.Sessions, g.Answer.Session = 1+further, wire.NewID()
	key := wire.KeyOf(g.Owner, g.Answer.Session)
	t := newTunnel(r, 1+further)
	t.forget = sync.OnceFunc(func() { r.removeTunnel(key) })
	t.release = sync.OnceFunc(func() { r.further.giveBack(g.Holder, further) })
	registered := false
	defer func() { // also in a panic
		if !registered {
			_ = t.Close()
			t.release()
		}
	}()
	// The id is known before the relay client can use it. The session is added only once
	// the answer is written, because its frames must not overtake it.
	r.addTunnel(key, t)
	if err := wire.WriteAnswer(conn, g.Answer, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	if err := t.addFirst(conn); err != nil {
		return nil, err
	}
	registered = true
	return t, nil
}

// countRefused counts a stream that a tunnel was too full for.
func (r *Relay) countRefused() {
	if r.Counters != nil {
		r.Counters.Refused.Add(1)
	}
}

// maxStreams returns how many streams a tunnel may have.
func (r *Relay) maxStreams() int { return cmp.Or(r.MaxStreams, maxStreams) }

// startSession starts a session, whose streams take what they hold from a budget.
func (r *Relay) startSession(conn conn.Conn, budget *Budget) *session {
	protocol.AlwaysRead(conn, userTimeout)
	return &session{conn, yamux.Client(conn, yamux.Config{
		GoneAway:    protocol.ErrLeft,
		Budget:      budget,
		MaxBuffered: maxBuffered,
		MaxStreams:  r.maxStreams(),
		Counters:    r.Counters,
	})}
}

// Claim makes conn another session of owner's tunnel with this id.
func (r *Relay) Claim(conn conn.Conn, owner, id string) error {
	key := wire.KeyOf(owner, id)
	if t := r.findTunnel(key); t != nil {
		return t.addSession(conn)
	}
	_ = conn.Reset()
	if r.Ended != nil && r.Ended.Contains(key) {
		return protocol.ErrLate
	}
	return protocol.ErrUnknownID
}

// Knows is protocol.Knower's.
func (r *Relay) Knows(key wire.Key) bool {
	return r.findTunnel(key) != nil || r.Ended != nil && r.Ended.Contains(key)
}

func (r *Relay) addTunnel(key wire.Key, t *tunnel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tunnels == nil {
		r.tunnels = make(map[wire.Key]*tunnel)
	}
	r.tunnels[key] = t
}

func (r *Relay) findTunnel(key wire.Key) *tunnel {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tunnels[key]
}

func (r *Relay) removeTunnel(key wire.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tunnels, key)
	if r.Ended != nil {
		r.Ended.Add(key)
	}
}
