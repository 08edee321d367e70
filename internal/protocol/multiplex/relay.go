package multiplex

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/wire"
	"github.com/seed96252745/relay/internal/yamux"
)

// Relay is the relay's half. The zero value is ready.
type Relay struct {
	// Budget bounds what all tunnels hold for users who do not read; each has a
	// bound of its own too. Nil is no bound.
	Budget *Budget
	// MaxStreams bounds the users that a tunnel has at a time; further ones are
	// reset. Zero means 4096.
	MaxStreams int
	// Counters count what happens at the limits of all tunnels. Nil is not
	// counted.
	Counters *Counters
}

// Counters say how often a limit was met.
type Counters = yamux.Counters

// takesNothing is when the kernel gives a peer up that takes nothing, which is
// never: the session finds out after half a minute, by its pings, and knows better.
// Over a way that fails again and again the kernel counts from the first failure,
// though bytes have moved since.
const takesNothing = 24 * time.Hour

// Budget is a number of bytes that sessions share. When it is spent the stream
// that holds most is reset.
type Budget = yamux.Budget

// NewBudget gives a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return yamux.NewBudget(bytes) }

var _ protocol.Relay = Relay{}

// What OpenNow gives is told of with the first bytes, or by conn.Flush, on every
// system.
var _ conn.Flusher = (*yamux.Stream)(nil)

// LogValue gives what was counted.
func (r Relay) LogValue() slog.Value {
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
	)
}

// Register makes conn a yamux session.
func (r Relay) Register(conn conn.Conn, g protocol.Grant) (protocol.Tunnel, error) {
	if err := wire.WriteAnswer(conn, g.Answer, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	protocol.AlwaysRead(conn, takesNothing)
	return &tunnel{conn, yamux.Client(conn, yamux.Config{
		Budget:     r.Budget,
		MaxStreams: r.MaxStreams,
		Counters:   r.Counters,
	})}, nil
}

// Claim refuses: there are no data connections.
func (Relay) Claim(conn conn.Conn, _, _ string) error {
	_ = conn.Reset()
	return protocol.ErrNoClaims
}

// tunnel is a session in which the relay opens a stream for each user.
type tunnel struct {
	conn    conn.Conn // the session's
	session *yamux.Session
}

// gone tells whether the kernel knows that the relay client has ended, which the
// session learns only when it has read all that came before. A stream that is opened
// in between leads nowhere, and takes the user's bytes along.
func (t *tunnel) gone() bool { return tcpstate.Of(t.conn) >= tcpstate.Ended }

func (t *tunnel) Open(ctx context.Context) (conn.Conn, error) {
	if t.gone() {
		select {
		case <-t.Done():
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	st, err := t.session.Open(ctx)
	switch {
	case err == nil:
		return st, nil
	case errors.Is(err, yamux.ErrSessionEnded), errors.Is(err, yamux.ErrGoneAway):
		return nil, protocol.ErrTunnelEnded
	case errors.Is(err, yamux.ErrTooManyStreams):
		return nil, protocol.ErrNoStream
	case errors.Is(err, protocol.ErrTooLong):
		return nil, protocol.ErrNotAcknowledged
	}
	return nil, err
}

// OpenNow opens a stream, or gives nil if that would have to wait or fails.
func (t *tunnel) OpenNow() conn.Conn {
	if t.gone() {
		return nil
	}
	if st := t.session.OpenNow(); st != nil {
		return st
	}
	return nil
}

func (t *tunnel) Done() <-chan struct{} { return t.session.Refusing().Done() }

// Err gives the session's error, or that the relay client takes no more users.
func (t *tunnel) Err() error {
	err := context.Cause(t.session.Refusing())
	if errors.Is(err, yamux.ErrGoneAway) {
		return protocol.ErrLeft
	}
	return err
}

func (t *tunnel) AfterDone(f func()) (stop func() bool) {
	return context.AfterFunc(t.session.Refusing(), f)
}

// Retire opens no more streams.
func (t *tunnel) Retire() { t.session.StopOpening() }

// Close resets the streams that there are, and ends the session.
func (t *tunnel) Close() error {
	t.session.Abort()
	return nil
}

// Finish lets the last FIN of the last stream through.
func (t *tunnel) Finish() { t.session.Drain() }
