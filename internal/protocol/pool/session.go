package pool

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// How long a pool without any connection is kept: its relay client has no other way
// to say that it is still there. Of a port that is leased nothing is lost with the pool:
// it stays open, and its owner registers anew. But for as long as the pool is kept,
// others with the same lease key are kept out by what may be dead. So there it takes no
// more than the pauses that a relay client makes between two connections.
const (
	linger       = 60 * time.Second
	leasedLinger = 3 * time.Second
)

// lingerOf is how long the pool of one who registers is kept.
func lingerOf(g protocol.Grant) time.Duration {
	if g.Answer.Lease > 0 {
		return leasedLinger
	}
	return linger
}

// session is a pool: connections that wait for users, or users that wait for
// connections, and never both.
type session struct {
	relay  *Relay
	ended  context.Context // done when the pool has ended
	end    context.CancelCauseFunc
	forget func()        // takes the pool out of the Relay, once
	linger time.Duration // how long it is kept without any connection

	mu      sync.Mutex  // guards what follows
	err     error       // why the pool has ended; nil if it has not
	idle    []*idleConn // the newest, whose way through NATs is freshest, is last
	waiting []chan<- conn.Conn
	active  int         // connections that users have
	lonely  *time.Timer // runs while there is neither an idle nor an active one
}

// idleConn is a connection in the pool, watched for its end.
type idleConn struct {
	conn  conn.Conn
	watch *tcpstate.Watch
}

func newSession(r *Relay, linger time.Duration, forget func()) *session {
	s := &session{relay: r, linger: linger, forget: sync.OnceFunc(forget)}
	s.ended, s.end = context.WithCancelCause(context.Background())
	s.lonely = time.AfterFunc(linger, func() { s.run(s.closeIfLonely) })
	return s
}

// run runs what has no caller who could be told of a panic. It ends the pool.
func (s *session) run(f func()) {
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			s.closeWithError(e)
		}
	}()
	f()
}

// ExpectedClaims is one for each free place, and for each user who waits.
func (s *session) ExpectedClaims() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relay.config.MaxIdle - len(s.idle) + len(s.waiting)
}

// add puts conn into the pool, or hands it to the user who has waited longest.
// It takes conn over.
func (s *session) add(conn conn.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		_ = conn.Reset()
		return protocol.ErrTunnelEnded
	case len(s.waiting) > 0:
		s.waiting[0] <- s.activateLocked(conn) // has room for one
		s.waiting = s.waiting[1:]
		return nil
	case len(s.idle) >= s.relay.config.MaxIdle, !s.relay.takeIdle():
		// An end, not a reset: the id is right, and the relay client is not to
		// think that its pool is gone.
		_ = conn.Close()
		return protocol.ErrFull
	}
	i := &idleConn{conn: conn}
	i.watch = s.relay.watcher.Start(conn, tcpstate.Ended, func() { s.run(func() { s.drop(i) }) })
	s.idle = append(s.idle, i)
	s.lonely.Stop()
	return nil
}

// drop takes a connection that has ended out of the pool.
func (s *session) drop(i *idleConn) {
	if s.takeOut(i) {
		defer s.release()
		discard(i.conn)
	} // else somebody has taken it, and will see for himself
}

// takeOut takes i, if it is still idle, which then counts as active.
func (s *session) takeOut(i *idleConn) bool {
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

// discard closes a connection that its peer has ended. It reads what came
// before the end, because closing over unread bytes sends RST, and that tells
// a relay client that its pool is unknown.
func discard(conn conn.Conn) {
	defer func() { _ = conn.Close() }()
	_, _ = io.Copy(io.Discard, conn) // the end is in the kernel already
}

// Open gives the newest connection that is alive, or the next that comes.
func (s *session) Open(ctx context.Context) (conn.Conn, error) {
	for {
		i, next, err := s.takeOrWait()
		if err != nil {
			return nil, err
		}
		if i == nil {
			return s.wait(ctx, next)
		}
		if conn := s.check(i); conn != nil {
			return conn, nil
		}
	}
}

// TryOpen returns the newest connection that is alive, or nil.
func (s *session) TryOpen() conn.Conn {
	for {
		s.mu.Lock()
		i := s.takeLocked()
		s.mu.Unlock()
		if i == nil {
			return nil
		}
		if conn := s.check(i); conn != nil {
			return conn
		}
	}
}

// check gives a user a connection that was taken, unless it has ended.
func (s *session) check(i *idleConn) conn.Conn {
	i.watch.Stop()
	switch tcpstate.Of(i.conn) {
	case tcpstate.Open:
		return s.activeConn(i.conn)
	case tcpstate.Silent:
		_ = i.conn.Close()
	default:
		discard(i.conn)
	}
	s.release()
	return nil
}

// takeOrWait takes an idle connection, which then counts as active, or else
// joins the queue of users.
func (s *session) takeOrWait() (*idleConn, chan conn.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, protocol.ErrTunnelEnded
	}
	if i := s.takeLocked(); i != nil {
		return i, nil, nil
	}
	next := make(chan conn.Conn, 1)
	s.waiting = append(s.waiting, next)
	return nil, next, nil
}

// takeLocked takes the newest idle connection, or gives nil.
func (s *session) takeLocked() *idleConn {
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

func (s *session) wait(ctx context.Context, next chan conn.Conn) (conn.Conn, error) {
	select {
	case conn := <-next:
		return conn, nil
	case <-ctx.Done():
	case <-s.ended.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.Index(s.waiting, chan<- conn.Conn(next)); at >= 0 {
		s.waiting = slices.Delete(s.waiting, at, at+1)
	}
	select {
	case conn := <-next: // it came in the last moment
		return conn, nil
	default:
	}
	if s.err != nil {
		return nil, protocol.ErrTunnelEnded
	}
	return nil, context.Cause(ctx)
}

// errLonely is why a pool ends by itself.
var errLonely = errors.New("the relay client has no connection any more")

// closeIfLonely ends the pool if no connection has come in the last moment.
func (s *session) closeIfLonely() {
	s.mu.Lock()
	lonely := s.active == 0 && len(s.idle) == 0
	if lonely && s.err == nil {
		s.err = errLonely
	}
	s.mu.Unlock()
	if lonely {
		s.closeWithError(errLonely)
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
	s.lonely.Stop()
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

// activateLocked makes conn one that a user has.
func (s *session) activateLocked(conn conn.Conn) conn.Conn {
	s.active++
	s.lonely.Stop()
	return s.activeConn(conn)
}

func (s *session) activeConn(conn conn.Conn) conn.Conn {
	return &activeConn{Conn: conn, session: s}
}

// release counts a connection out that a user had.
func (s *session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.restLocked()
}

// restLocked starts the clock if the pool has no connection any more.
func (s *session) restLocked() {
	if s.err == nil && s.active == 0 && len(s.idle) == 0 {
		s.lonely.Reset(s.linger)
	}
}
