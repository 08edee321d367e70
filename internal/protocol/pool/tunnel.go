package pool

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
)

const (
	// maxIdle bounds the connections that wait in one pool.
	maxIdle = 256
	// linger is how long a pool without any connection is kept: its relay
	// client has no other way to say that it is still there.
	linger = 60 * time.Second
)

// tunnel is a pool: connections that wait for users, or users that wait for
// connections, and never both.
type tunnel struct {
	watcher *tcpstate.Watcher
	done    chan struct{}
	end     func() // closes done and takes the pool out of the Relay, once

	mu      sync.Mutex // guards what follows
	ended   bool
	idle    []*idleConn // the newest, whose way through NATs is freshest, is last
	waiting []chan<- join.Conn
	active  int         // connections that users have
	lonely  *time.Timer // runs while there is neither an idle nor an active one
}

// idleConn is a connection in the pool, watched for its end.
type idleConn struct {
	conn  join.Conn
	watch *tcpstate.Watch
}

func newTunnel(watcher *tcpstate.Watcher, forget func()) *tunnel {
	t := &tunnel{watcher: watcher, done: make(chan struct{})}
	t.end = sync.OnceFunc(func() {
		close(t.done)
		forget()
	})
	t.lonely = time.AfterFunc(linger, t.closeIfLonely)
	return t
}

func (t *tunnel) Done() <-chan struct{} { return t.done }

// add puts conn into the pool, or hands it to the user who has waited longest.
// It takes conn over.
func (t *tunnel) add(conn join.Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ended:
		_ = conn.Reset()
		return protocol.ErrTunnelEnded
	case len(t.waiting) > 0:
		t.waiting[0] <- t.activateLocked(conn) // has room for one
		t.waiting = t.waiting[1:]
		return nil
	case len(t.idle) == maxIdle:
		// An end, not a reset: the id is right, and the relay client is not to
		// think that its pool is gone.
		_ = conn.Close()
		return protocol.ErrFull
	}
	i := &idleConn{conn: conn}
	i.watch = t.watcher.Start(conn, tcpstate.Ended, func() { t.drop(i) })
	t.idle = append(t.idle, i)
	t.lonely.Stop()
	return nil
}

// drop takes a connection that has ended out of the pool.
func (t *tunnel) drop(i *idleConn) {
	if t.takeOut(i) {
		discard(i.conn)
		t.release()
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
	t.active++
	return true
}

// discard closes a connection that its peer has ended. It reads what came
// before the end, because closing over unread bytes sends RST, and that tells
// a relay client that its pool is unknown.
func discard(conn join.Conn) {
	_, _ = io.Copy(io.Discard, conn) // the end is in the kernel already
	_ = conn.Close()
}

// Open gives the newest connection that is alive, or the next that comes.
func (t *tunnel) Open(ctx context.Context) (join.Conn, error) {
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
func (t *tunnel) OpenNow() join.Conn {
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
func (t *tunnel) check(i *idleConn) join.Conn {
	i.watch.Stop()
	if tcpstate.Of(i.conn) == tcpstate.Open {
		return t.activeConn(i.conn)
	}
	discard(i.conn)
	t.release()
	return nil
}

// takeOrWait takes an idle connection, which then counts as active, or else
// joins the queue of users.
func (t *tunnel) takeOrWait() (*idleConn, chan join.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return nil, nil, protocol.ErrTunnelEnded
	}
	if i := t.takeLocked(); i != nil {
		return i, nil, nil
	}
	next := make(chan join.Conn, 1)
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
	t.active++
	return i
}

func (t *tunnel) wait(ctx context.Context, next chan join.Conn) (join.Conn, error) {
	select {
	case conn := <-next:
		return conn, nil
	case <-ctx.Done():
	case <-t.done:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(t.waiting, chan<- join.Conn(next)); at >= 0 {
		t.waiting = slices.Delete(t.waiting, at, at+1)
	}
	select {
	case conn := <-next: // it came in the last moment
		return conn, nil
	default:
	}
	if t.ended {
		return nil, protocol.ErrTunnelEnded
	}
	return nil, context.Cause(ctx)
}

// closeIfLonely ends the pool if no connection has come in the last moment.
func (t *tunnel) closeIfLonely() {
	t.mu.Lock()
	lonely := t.active == 0 && len(t.idle) == 0
	t.ended = t.ended || lonely
	t.mu.Unlock()
	if lonely {
		_ = t.Close()
	}
}

// Close ends the pool. Connections that users have live on.
func (t *tunnel) Close() error {
	t.mu.Lock()
	t.ended = true
	t.lonely.Stop()
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	t.end()
	for _, i := range idle {
		i.watch.Stop()
		_ = i.conn.Close()
	}
	return nil
}

// activateLocked makes conn one that a user has.
func (t *tunnel) activateLocked(conn join.Conn) join.Conn {
	t.active++
	t.lonely.Stop()
	return t.activeConn(conn)
}

func (t *tunnel) activeConn(conn join.Conn) join.Conn {
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
	if !t.ended && t.active == 0 && len(t.idle) == 0 {
		t.lonely.Reset(linger)
	}
}

// Finish is Close: connections that users have are their own.
func (t *tunnel) Finish() { _ = t.Close() }
