package multiplex

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-yamux/v5"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
)

// The two ends of a session.
const (
	opensStreams   = true  // yamux client: the relay
	acceptsStreams = false // yamux server: the relay client
)

// maxStreams bounds the users of one session at a time.
const maxStreams = 4096

// session is a yamux session on a connection that it owns.
type session struct{ mux *yamux.Session }

func newSession(conn join.Conn, opens bool) (*session, error) {
	config := yamux.DefaultConfig()
	config.MaxIncomingStreams = maxStreams
	config.KeepAliveInterval = 15 * time.Second
	// Per write to the connection. A slow uplink that moves at all is alive.
	config.ConnectionWriteTimeout = 30 * time.Second
	config.LogOutput = io.Discard // it logs what a peer sends, line for line
	start := yamux.Server
	if opens {
		start = yamux.Client
	}
	mux, err := start(conn, config, nil)
	if err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("starting yamux: %w", err)
	}
	return &session{mux}, nil
}

// open opens a stream. It waits while 256 streams are not acknowledged yet.
func (s *session) open(ctx context.Context) (*stream, error) {
	if s.mux.NumStreams() >= maxStreams {
		return nil, protocol.ErrFull
	}
	st, err := s.mux.OpenStream(ctx)
	switch {
	case err == nil:
		return &stream{Stream: st}, nil
	case s.mux.IsClosed():
		return nil, protocol.ErrTunnelEnded
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("opening a stream: %w", err)
}

// accept waits for a stream that the peer opens. Its error means that the
// session has ended.
func (s *session) accept() (*stream, error) {
	st, err := s.mux.AcceptStream()
	if err != nil {
		return nil, err
	}
	return &stream{Stream: st}, nil
}

func (s *session) done() <-chan struct{} { return s.mux.CloseChan() }

// close ends the session at once and resets its streams on this side; the peer
// resets its own when the connection ends.
func (s *session) close() error { return s.mux.Close() }

// finishWait is how long a peer may take to end a session in which all is said.
const finishWait = 5 * time.Second

// finish ends a session that has no streams any more. The library's close
// throws away what is queued, so the end is queued behind it, as a GO_AWAY,
// and the peer closes.
func (s *session) finish() error {
	if err := s.mux.GoAway(); err == nil {
		patience := time.NewTimer(finishWait)
		defer patience.Stop()
		select {
		case <-s.done():
		case <-patience.C:
		}
	}
	return s.close()
}
