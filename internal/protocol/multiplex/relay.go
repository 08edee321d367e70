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
	// Budget bounds what all sessions hold for users who do not read; each session has
	// a bound of its own too. Nil means no bound.
	Budget *Budget
	// MaxStreams bounds the concurrent users of a session; further ones are reset.
	// Zero means 4096.
	MaxStreams int
	// Counters count what happens at the limits of all sessions. Nil means not counted.
	Counters *Counters
}

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
	_ protocol.Relay     = Relay{}
	_ protocol.TryOpener = (*session)(nil)
	_ protocol.Drainer   = (*session)(nil)
)

// The relay client hears of what TryOpen returns with the first bytes, or by conn.Flush,
// on every system.
var _ conn.Flusher = (*yamux.Stream)(nil)

// LogValue returns what was counted.
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

// Verb returns multiplex's.
func (Relay) Verb() wire.Verb { return verb }

// Register starts a yamux session on conn.
func (r Relay) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	if err := wire.WriteAnswer(conn, g.Answer, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	protocol.AlwaysRead(conn, userTimeout)
	return &session{conn, yamux.Client(conn, yamux.Config{
		GoneAway:   protocol.ErrLeft,
		Budget:     r.Budget,
		MaxStreams: r.MaxStreams,
		Counters:   r.Counters,
	})}, nil
}

// Claim refuses conn, as there are no data connections.
func (Relay) Claim(conn conn.Conn, _, _ string) error {
	_ = conn.Reset()
	return protocol.ErrNoClaims
}

// session opens a stream for each user.
type session struct {
	conn  conn.Conn // carries the streams
	yamux *yamux.Session
}

// isGone reports whether the kernel knows that the relay client has ended, which yamux
// learns only when it has read all that came before. A stream that is opened in between
// leads nowhere, and takes the user's bytes along.
func (s *session) isGone() bool { return tcpstate.Of(s.conn) >= tcpstate.Ended }

func (s *session) Open(ctx context.Context) (conn.Conn, error) {
	if s.isGone() {
		select {
		case <-s.Ended().Done():
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	st, err := s.yamux.Open(ctx)
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

// TryOpen opens a stream, or returns nil if that would have to wait or fails.
func (s *session) TryOpen() conn.Conn {
	if s.isGone() {
		return nil
	}
	if st := s.yamux.TryOpen(); st != nil {
		return st
	}
	return nil
}

// Ended returns a context that is done when no more streams can be opened.
func (s *session) Ended() context.Context { return s.yamux.Refusing() }

// StopAccepting opens no more streams.
func (s *session) StopAccepting() { s.yamux.StopOpening() }

// Close resets the open streams, and ends the yamux session.
func (s *session) Close() error {
	s.yamux.Abort()
	return nil
}

// Drain lets the FIN of the last stream through.
func (s *session) Drain() { s.yamux.Drain() }
