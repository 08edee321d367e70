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

// tunnel is a pool: connections that wait for users, or users that wait for
// connections, and never both.
type tunnel struct {
	relay *Relay
	protocol.Ending
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

func newTunnel(r *Relay, linger time.Duration, forget func()) *tunnel {
	t := &tunnel{relay: r, Ending: protocol.NewEnding(), linger: linger, forget: sync.OnceFunc(forget)}
	t.lonely = time.AfterFunc(linger, func() { t.run(t.closeIfLonely) })
	return t
}

// run runs what has no caller who could be told of a panic. It ends the pool.
func (t *tunnel) run(f func()) {
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			t.close(e)
		}
	}()
	f()
}

// Expected is one for each free place, and for each user who waits.
func (t *tunnel) Expected() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.relay.config.MaxIdle - len(t.idle) + len(t.waiting)
}

// add puts conn into the pool, or hands it to the user who has waited longest.
// It takes conn over.
func (t *tunnel) add(conn conn.Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		_ = conn.Reset()
		return protocol.ErrTunnelEnded
	case len(t.waiting) > 0:
		t.waiting[0] <- t.activateLocked(conn) // has room for one
		t.waiting = t.waiting[1:]
		return nil
	case len(t.idle) >= t.relay.config.MaxIdle, !t.relay.takeIdle():
		// An end, not a reset: the id is right, and the relay client is not to
		// think that its pool is gone.
		_ = conn.Close()
		return protocol.ErrFull
	}
	i := &idleConn{conn: conn}
	i.watch = t.relay.watcher.Start(conn, tcpstate.Ended, func() { t.run(func() { t.drop(i) }) })
	t.idle = append(t.idle, i)
	t.lonely.Stop()
	return nil
}

// drop takes a connection that has ended out of the pool.
func (t *tunnel) drop(i *idleConn) {
	if t.takeOut(i) {
		defer t.release()
		discard(i.conn)
	} // else somebody has taken it, and will see for himself
}

// takeOut takes i, if it is still idle, which then counts as active.
func (t *tunnel) takeOut(i *idleConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.idle, i)
	if at < 0 {
		return false
	}
	t.idle = slices.Delete(t.idle, at, at+1)
	t.relay.idle.Add(-1)
	t.active++
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
func (t *tunnel) Open(ctx context.Context) (conn.Conn, error) {
	for {
		i, next, err := t.takeOrWait()
		if err != nil {
			return nil, err
		}
		if i == nil {
			return t.wait(ctx, next)
		}
		if conn := t.check(i); conn != nil {
			return conn, nil
		}
	}
}

// OpenNow gives the newest connection that is alive, or nil.
func (t *tunnel) OpenNow() conn.Conn {
	for {
		t.mu.Lock()
		i := t.takeLocked()
		t.mu.Unlock()
		if i == nil {
			return nil
		}
		if conn := t.check(i); conn != nil {
			return conn
		}
	}
}

// check gives a user a connection that was taken, unless it has ended.
func (t *tunnel) check(i *idleConn) conn.Conn {
	i.watch.Stop()
	switch tcpstate.Of(i.conn) {
	case tcpstate.Open:
		return t.activeConn(i.conn)
	case tcpstate.Silent:
		_ = i.conn.Close()
	default:
		discard(i.conn)
	}
	t.release()
	return nil
}

// takeOrWait takes an idle connection, which then counts as active, or else
// joins the queue of users.
func (t *tunnel) takeOrWait() (*idleConn, chan conn.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return nil, nil, protocol.ErrTunnelEnded
	}
	if i := t.takeLocked(); i != nil {
		return i, nil, nil
	}
	next := make(chan conn.Conn, 1)
	t.waiting = append(t.waiting, next)
	return nil, next, nil
}

// takeLocked takes the newest idle connection, or gives nil.
func (t *tunnel) takeLocked() *idleConn {
	n := len(t.idle)
	if n == 0 {
		return nil
	}
	i := t.idle[n-1]
	t.idle = t.idle[:n-1]
	t.relay.idle.Add(-1)
	t.active++
	return i
}

func (t *tunnel) wait(ctx context.Context, next chan conn.Conn) (conn.Conn, error) {
	select {
	case conn := <-next:
		return conn, nil
	case <-ctx.Done():
	case <-t.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(t.waiting, chan<- conn.Conn(next)); at >= 0 {
		t.waiting = slices.Delete(t.waiting, at, at+1)
	}
	select {
	case conn := <-next: // it came in the last moment
		return conn, nil
	default:
	}
	if t.err != nil {
		return nil, protocol.ErrTunnelEnded
	}
	return nil, context.Cause(ctx)
}

// errLonely is why a pool ends by itself.
var errLonely = errors.New("the relay client has no connection any more")

// closeIfLonely ends the pool if no connection has come in the last moment.
func (t *tunnel) closeIfLonely() {
	t.mu.Lock()
	lonely := t.active == 0 && len(t.idle) == 0
	if lonely && t.err == nil {
		t.err = errLonely
	}
	t.mu.Unlock()
	if lonely {
		t.close(errLonely)
	}
}

// Retire ends the pool: connections that users have are their own.
func (t *tunnel) Retire() { t.close(protocol.ErrRetired) }

// Close ends the pool. Connections that users have live on.
func (t *tunnel) Close() error {
	t.close(net.ErrClosed)
	return nil
}

// close ends the pool for the given reason, unless it has one already.
func (t *tunnel) close(reason error) {
	t.mu.Lock()
	if t.err == nil {
		t.err = reason
	}
	reason = t.err
	t.lonely.Stop()
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	t.relay.idle.Add(-int64(len(idle)))
	t.forget()
	t.End(reason)
	for _, i := range idle {
		i.watch.Stop()
		_ = i.conn.Close()
	}
}

// activateLocked makes conn one that a user has.
func (t *tunnel) activateLocked(conn conn.Conn) conn.Conn {
	t.active++
	t.lonely.Stop()
	return t.activeConn(conn)
}

func (t *tunnel) activeConn(conn conn.Conn) conn.Conn {
	return &activeConn{Conn: conn, tunnel: t}
}

// release counts a connection out that a user had.
func (t *tunnel) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active--
	t.restLocked()
}

// restLocked starts the clock if the pool has no connection any more.
func (t *tunnel) restLocked() {
	if t.err == nil && t.active == 0 && len(t.idle) == 0 {
		t.lonely.Reset(t.linger)
	}
}

// Finish is Close: connections that users have are their own.
func (t *tunnel) Finish() { _ = t.Close() }
