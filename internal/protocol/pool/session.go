package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// How long a pool without any connection is kept: its relay client has no other way to
// show that it is still there. If the port is leased nothing is lost with the pool: the
// port stays open, and its owner registers anew. But as long as the pool is kept, it keeps
// out others with the same lease key, and may be dead. So there it is kept no longer than
// a relay client pauses between two connections.
const (
	linger       = 60 * time.Second
	leasedLinger = 3 * time.Second
)

// lingerOf returns for how long an empty pool is kept.
func lingerOf(g protocol.Grant) time.Duration {
	if g.Answer.Lease > 0 {
		return leasedLinger
	}
	return linger
}

// session is a pool: connections that wait for users, or users who wait for connections,
// and never both.
type session struct {
	relay  *Relay
	ended  context.Context // done when the pool has ended
	end    context.CancelCauseFunc
	forget func()        // removes the pool from the Relay, once
	linger time.Duration // for how long it is kept when it is empty

	mu      sync.Mutex  // guards what follows
	err     error       // why the pool has ended; nil if it has not
	idle    []*idleConn // the newest, whose path through NATs is freshest, is last
	waiting []*opening  // users, in their order
	active  int         // connections that users have
	emptied *time.Timer // runs while there is neither an idle nor an active one
}

// idleConn is a connection in the pool, watched for its end.
type idleConn struct {
	conn  conn.Conn
	watch *tcpstate.Watch
}

func newSession(r *Relay, linger time.Duration, forget func()) *session {
	s := &session{relay: r, linger: linger, forget: sync.OnceFunc(forget)}
	s.ended, s.end = context.WithCancelCause(context.Background())
	s.emptied = time.AfterFunc(linger, func() { s.endOnPanic(s.closeIfEmpty) })
	return s
}

// endOnPanic runs f, and ends the pool if it panics: f has no caller that could be told.
func (s *session) endOnPanic(f func()) {
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			s.closeWithError(e)
		}
	}()
	f()
}

var (
	_ protocol.Timed    = (*session)(nil)
	_ protocol.Absenter = (*session)(nil)
)

// Absent reports whether there is no connection, neither one that waits nor one that a user
// has.
func (s *session) Absent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active == 0 && len(s.idle) == 0
}

// RoundTrip returns the round trip of the newest connection that waits.
func (s *session) RoundTrip() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return 0
	}
	return tcpstate.RoundTrip(s.idle[len(s.idle)-1].conn)
}

// ExpectedClaims returns the number of free slots and of users who wait.
func (s *session) ExpectedClaims() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relay.config.MaxIdle - len(s.idle) + len(s.waiting)
}

// addConn adds conn to the pool, or hands it to the user who has waited longest. It takes
// conn over.
func (s *session) addConn(conn conn.Conn) error {
	o, err := s.addOrMatch(conn)
	if o != nil {
		o.Deliver(&activeConn{Conn: conn, session: s})
	}
	return err
}

// addOrMatch adds conn to the pool, or returns the user who is to have it. It then counts
// as active.
func (s *session) addOrMatch(conn conn.Conn) (*opening, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		_ = conn.Reset()
		return nil, protocol.ErrTunnelEnded
	case len(s.waiting) > 0:
		o := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.active++
		s.emptied.Stop()
		return o, nil
	case len(s.idle) >= s.relay.config.MaxIdle, !s.relay.reserveIdle():
		// An end, not a reset: the id is right, and the relay client must not take its
		// pool for gone.
		_ = conn.Close()
		return nil, protocol.ErrFull
	}
	i := &idleConn{conn: conn}
	i.watch = s.relay.watcher.Start(conn, tcpstate.Ended, func() { s.endOnPanic(func() { s.dropEnded(i) }) })
	s.idle = append(s.idle, i)
	s.emptied.Stop()
	return nil, nil
}

// dropEnded removes a connection that has ended from the pool.
func (s *session) dropEnded(i *idleConn) {
	if s.takeIdle(i) {
		defer s.releaseActive()
		discardConn(i.conn)
	} // else a user has it, who will see the end
}

// takeIdle takes i if it is still idle. It then counts as active.
func (s *session) takeIdle(i *idleConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.idle, i)
	if at < 0 {
		return false
	}
	s.idle = slices.Delete(s.idle, at, at+1)
	s.relay.idle.Add(-1)
	s.active++
	return true
}

// discardConn closes a connection that its peer has ended. It reads what came before the
// end, because closing over unread bytes sends RST, and that tells a relay client that its
// pool is unknown.
func discardConn(conn conn.Conn) {
	defer func() { _ = conn.Close() }()
	_, _ = io.Copy(io.Discard, conn) // the end is in the kernel already
}

// Open returns the newest connection that is alive, or the next one that arrives.
func (s *session) Open(ctx context.Context, _ netip.AddrPort) (conn.Conn, error) {
	for {
		i, o, err := s.takeNewestOrWait(nil)
		if err != nil {
			return nil, err
		}
		if i == nil {
			return o.Wait(ctx)
		}
		if conn := s.activateAlive(i); conn != nil {
			return conn, nil
		}
	}
}

// Start has opened called with the newest connection that is alive, or with the next one
// that arrives.
func (s *session) Start(opened func(conn.Conn)) (protocol.Opening, error) {
	for {
		i, o, err := s.takeNewestOrWait(opened)
		if err != nil {
			return nil, err
		}
		if i == nil {
			return o, nil
		}
		if conn := s.activateAlive(i); conn != nil {
			o = &opening{session: s}
			o.Init(opened)
			o.Deliver(conn)
			return o, nil
		}
	}
}

// TryOpen returns the newest connection that is alive, or nil.
func (s *session) TryOpen() conn.Conn {
	for {
		s.mu.Lock()
		i := s.takeNewestLocked()
		s.mu.Unlock()
		if i == nil {
			return nil
		}
		if conn := s.activateAlive(i); conn != nil {
			return conn
		}
	}
}

// activateAlive returns the connection of i, which was taken, for a user, or nil if it has
// ended.
func (s *session) activateAlive(i *idleConn) conn.Conn {
	i.watch.Stop()
	switch tcpstate.Of(i.conn) {
	case tcpstate.Open:
		return &activeConn{Conn: i.conn, session: s}
	case tcpstate.Silent:
		_ = i.conn.Close()
	default:
		discardConn(i.conn)
	}
	s.releaseActive()
	return nil
}

// takeNewestOrWait takes the newest idle connection, which then counts as active, or else
// joins the queue of users.
func (s *session) takeNewestOrWait(opened func(conn.Conn)) (*idleConn, *opening, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, protocol.ErrTunnelEnded
	}
	if i := s.takeNewestLocked(); i != nil {
		return i, nil, nil
	}
	o := &opening{session: s}
	o.Init(opened)
	s.waiting = append(s.waiting, o)
	return nil, o, nil
}

// takeNewestLocked takes the newest idle connection, or returns nil.
func (s *session) takeNewestLocked() *idleConn {
	n := len(s.idle)
	if n == 0 {
		return nil
	}
	i := s.idle[n-1]
	s.idle = s.idle[:n-1]
	s.relay.idle.Add(-1)
	s.active++
	return i
}

// errEmpty is why a pool ends that stays empty.
var errEmpty = errors.New("the relay client has no connection any more")

// closeIfEmpty ends the pool unless a connection has come at the last moment.
func (s *session) closeIfEmpty() {
	s.mu.Lock()
	empty := s.active == 0 && len(s.idle) == 0
	if empty && s.err == nil {
		s.err = errEmpty
	}
	s.mu.Unlock()
	if empty {
		s.closeWithError(errEmpty)
	}
}

// Ended returns a context that is done when the pool has ended.
func (s *session) Ended() context.Context { return s.ended }

// Close ends the pool. Connections that users have are their own, and live on.
func (s *session) Close() error {
	s.closeWithError(net.ErrClosed)
	return nil
}

// closeWithError ends the pool for the given reason, unless it has one already.
func (s *session) closeWithError(reason error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = reason
	}
	reason = s.err
	s.emptied.Stop()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	s.relay.idle.Add(-int64(len(idle)))
	s.forget()
	s.end(reason)
	for _, i := range idle {
		i.watch.Stop()
		_ = i.conn.Close()
	}
}

// releaseActive counts an active connection as closed.
func (s *session) releaseActive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	if s.err == nil && s.active == 0 && len(s.idle) == 0 {
		s.emptied.Reset(s.linger)
	}
}
