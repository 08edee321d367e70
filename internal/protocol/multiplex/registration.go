package multiplex

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
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
	vacant  chan struct{}   // holds one item if a session has ended; never closed

	running sync.WaitGroup  // while sessions live
	ctx     context.Context // done when the registration has ended, with the reason
	cancel  context.CancelCauseFunc

	mu       sync.Mutex // guards what follows
	closed   bool
	open     int // streams that were accepted and have not ended
	sessions map[*clientSession]struct{}
	failures int // to have, or keep, a further session, in a row
}

// clientSession is one of the sessions.
type clientSession struct {
	*yamux.Session
	further bool // made with the id of the tunnel
	since   time.Time
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
	s := &clientSession{further: further, since: time.Now()}
	s.Session = yamux.Server(conn, yamux.Config{
		Accept: true, PingAfter: r.client.keepalive.Interval(), MaxBuffered: int64(maxBuffered / r.size),
	})
	if r.sessions == nil {
		r.sessions = make(map[*clientSession]struct{}, r.size)
	}
	r.sessions[s] = struct{}{}
	r.running.Go(func() { r.awaitEnd(s) })
	return s
}

// awaitEnd drains a session once the registration is closed and its last stream has ended.
func (r *registration) awaitEnd(s *clientSession) {
	select {
	case <-r.drained:
		s.Drain()
	case <-s.Done():
		r.removeSession(s)
	}
}

// removeSession removes a session that has ended. With the last one the registration is
// lost, unless it was closed before. Serve may be blocked in its Acceptor.
func (r *registration) removeSession(s *clientSession) {
	brief := time.Since(s.since) < healthy
	r.mu.Lock()
	delete(r.sessions, s)
	last := len(r.sessions) == 0
	r.failures++
	if !brief {
		r.failures = 0
	}
	r.mu.Unlock()
	if r.ctx.Err() == nil {
		r.learn(s, brief)
	}
	err := fmt.Errorf("connection to the relay lost: %w", s.Err())
	if last {
		r.cancel(err)
		return
	}
	r.reportFailure(err)
	select {
	case r.vacant <- struct{}{}:
	default: // keepSessions has been notified already
	}
}

// learn learns from a lost session how often something has to be sent. A further session
// that has stood for a while shows that a relay was there when the one before was lost.
// Else the relay may have refused it.
func (r *registration) learn(s *clientSession, brief bool) {
	if s.further {
		if brief {
			return
		}
		r.client.keepalive.Registered(nil)
	}
	r.client.keepalive.Lost(s.Silence())
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
