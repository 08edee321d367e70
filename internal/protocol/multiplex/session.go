package multiplex

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/yamux"
)

var (
	_ protocol.TryOpener = (*session)(nil)
	_ protocol.Drainer   = (*session)(nil)
	_ protocol.Reacher   = (*session)(nil)
	_ protocol.Timed     = (*session)(nil)
)

// session opens a stream for each user.
type session struct {
	conn  conn.Conn // carries the streams
	yamux *yamux.Session
}

// isGone reports whether the kernel knows that the relay client has ended, which yamux
// learns only when it has read all that came before. A stream that is opened in between
// leads nowhere, and takes the user's bytes along.
func (s *session) isGone() bool { return tcpstate.Of(s.conn) >= tcpstate.Ended }

func (s *session) Open(ctx context.Context, _ netip.AddrPort) (conn.Conn, error) {
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

// Unreachable reports whether the session has waited for an acknowledgment for so long.
func (s *session) Unreachable(limit time.Duration) bool {
	return tcpstate.Unacknowledged(s.conn) >= limit
}

// RoundTrip returns the round trip of the connection.
func (s *session) RoundTrip() time.Duration { return tcpstate.RoundTrip(s.conn) }

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
