package multiplex

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
	"github.com/seed96252745/relay/internal/yamux"
)

// registration is one or several yamux sessions. It is lost with the last of them. Once it
// is closed they end with its last stream.
type registration struct {
	client  *Client
	answer  wire.Answer
	first   *clientSession
	size    int             // how many sessions to keep
	dial    protocol.Dialer // for further ones
	claim   []wire.Option   // of further ones
	drained chan struct{}   // closed when r is closed and no stream is open
	changed chan struct{}   // holds one item if a session has ended or was confirmed; never closed

	running sync.WaitGroup  // while sessions live
	ctx     context.Context // done when the registration has ended, with the reason
	cancel  context.CancelCauseFunc

	mu       sync.Mutex // guards what follows
	closed   bool
	open     int // streams that were accepted and have not ended
	sessions map[*clientSession]struct{}
	failures int       // to have, or keep, a further session, in a row
	lost     int       // sessions that the relay had accepted
	refusals int       // of further sessions, by a reset, in a row
	refused  time.Time // when the last of these were counted
}

// clientSession is one of the sessions.
type clientSession struct {
	*yamux.Session
	further   bool // made with the id of the tunnel
	since     time.Time
	lost      int  // before it began
	confirmed bool // the relay has accepted it; mu guards it
}

// hasHeardSince reports whether bytes have come since t.
func (s *clientSession) hasHeardSince(t time.Time) bool {
	if t.Before(s.since) {
		t = s.since
	}
	return time.Since(t) > s.Silence()
}

// isRefused reports whether s has ended as the relay refuses further sessions whose id it
// does not know: with a reset, before anything came. TCP proxies may make an end of that,
// but no end of TLS.
func (s *clientSession) isRefused() bool {
	reset := sockerr.Is(s.Err(), syscall.ECONNRESET) || errors.Is(s.Err(), conn.ErrTruncated)
	return reset && !s.hasHeardSince(s.since)
}

func (r *registration) Answer() wire.Answer { return r.answer }

// Serve hands over the streams that the relay opens, until the last session or the
// registration ends.
func (r *registration) Serve(accepted protocol.Acceptor) error {
	var serving sync.WaitGroup
	if r.size > 1 {
		serving.Go(func() { r.keepSessions(&serving, accepted) })
	}
	r.accept(r.first, accepted)
	<-r.ctx.Done()
	serving.Wait()
	return context.Cause(r.ctx)
}

// accept hands over the streams of one session, until that or the registration ends.
func (r *registration) accept(session *clientSession, accepted protocol.Acceptor) {
	for r.ctx.Err() == nil {
		s, err := session.Accept(r.ctx)
		switch {
		case err != nil:
			return // awaitEnd learns of it
		case !r.addStream():
			_ = s.Reset()
		default:
			s.OnEnd(r.removeStream)
			accepted(r.ctx, s)
		}
	}
}

// addStream counts a stream, unless the registration is closed.
func (r *registration) addStream() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.open++
	}
	return !r.closed
}

// removeStream counts a stream that has ended. The session calls it, and must not be
// blocked.
func (r *registration) removeStream() {
	r.mu.Lock()
	r.open--
	last := r.closed && r.open == 0
	r.mu.Unlock()
	if last {
		close(r.drained)
	}
}

// addSession starts a session on conn, which it takes over. It returns nil if the
// registration is closed.
func (r *registration) addSession(conn conn.Conn, further bool) *clientSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = conn.Reset()
		return nil
	}
	protocol.AlwaysRead(conn, userTimeout)
	s := &clientSession{further: further, lost: r.lost, confirmed: !further}
	s.Session = yamux.Server(conn, yamux.Config{
		Accept: true, PingAfter: r.client.keepalive.Interval(), MaxBuffered: int64(maxBuffered / r.size),
	})
	s.since = time.Now()
	if r.sessions == nil {
		r.sessions = make(map[*clientSession]struct{}, r.size)
	}
	r.sessions[s] = struct{}{}
	r.running.Go(func() { r.awaitEnd(s) })
	return s
}

// awaitEnd drains a session once the registration is closed and its last stream has ended.
func (r *registration) awaitEnd(s *clientSession) {
	standing := time.NewTimer(healthy)
	defer standing.Stop()
	for {
		select {
		case <-standing.C:
			r.confirm(s)
		case <-r.drained:
			s.Drain()
			return
		case <-s.Done():
			r.removeSession(s)
			return
		}
	}
}

// confirm notes that a session has stood for healthy. If it is a further one the relay has
// accepted it, so the next one need not wait. If no other was lost since it began, it also
// shows that the relay was there after the last loss. An older one shows nothing: a relay
// that dies takes all its sessions along, one after the other.
func (r *registration) confirm(s *clientSession) {
	if !s.further {
		return
	}
	r.mu.Lock()
	s.confirmed = true
	r.failures, r.refusals = 0, 0
	if s.lost == r.lost {
		r.client.keepalive.Registered(nil)
	}
	r.mu.Unlock()
	r.noteChange()
}

// removeSession removes a session that has ended. With the last one the registration is
// lost, unless it was closed before. Serve may be blocked in its Acceptor.
func (r *registration) removeSession(s *clientSession) {
	refused := s.isRefused()
	r.mu.Lock()
	delete(r.sessions, s)
	last := len(r.sessions) == 0
	switch {
	case !s.confirmed: // the relay may have refused it
		r.failures++
		r.countRefusalLocked(s, refused)
	case r.ctx.Err() == nil:
		r.client.keepalive.Lost(s.Silence())
		r.lost++
	}
	r.mu.Unlock()
	err := fmt.Errorf("connection to the relay lost: %w", s.Err())
	if last {
		r.cancel(err)
		return
	}
	r.reportFailure(err)
	r.noteChange()
}

// noteChange has keepSessions look again.
func (r *registration) noteChange() {
	select {
	case r.changed <- struct{}{}:
	default: // it has been notified already
	}
}

// reportFailure reports what has become of one session among several, unless the
// registration has ended.
func (r *registration) reportFailure(err error) {
	if r.client.OnFailure != nil && r.ctx.Err() == nil {
		r.client.OnFailure(err)
	}
}

// all returns the sessions.
func (r *registration) all() []*clientSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.sessions))
}

// Close tells the relay to send no more users. The sessions live for as long as there are
// streams.
func (r *registration) Close() error {
	r.mu.Lock()
	first, idle := !r.closed, r.open == 0
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	r.cancel(net.ErrClosed)
	for _, s := range r.all() {
		s.GoAway()
	}
	if idle {
		close(r.drained)
	}
	return nil
}

// Wait waits for the sessions to end with the last stream.
func (r *registration) Wait(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		for _, s := range r.all() {
			s.Close()
		}
	})()
	r.running.Wait()
}
