package join

import (
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/eventloop"
)

// readable waits for something to come on a socket that is not joined.
type readable struct {
	set    *Set
	loop   *loop
	socket conn.Controller
	f      func()
	once   bool

	listed int32 // the place in its checkList, whose lock guards it

	mu        sync.Mutex // guards what follows
	place     eventloop.Registration
	unsettled bool // is among the unacked ends
	over      bool
}

// WhenReadable calls f, once, when reading from c would not wait. F must not
// wait: it is called on an event loop. Stop ends the watch, and does not wait for f. The
// caller must call it before anybody else uses c, if f has not been called. It is nil if
// c cannot be watched. All watches have to be over before Close.
func (s *Set) WhenReadable(c conn.Conn, f func()) (stop func()) {
	socket, ok := conn.Innermost(c).(conn.Controller)
	if !ok {
		return nil
	}
	r := &readable{set: s, loop: s.engine.loops.pick(), socket: socket, f: f, once: true}
	if !r.begin() {
		return nil
	}
	return r.stop
}

// Loop is one of the loops of an engine, for what comes before the joins of a set.
type Loop struct {
	set  *Set
	loop *loop
}

// Loop returns one of the engine's loops, or nil if it has none.
func (s *Set) Loop() *Loop { return &Loop{s, s.engine.loops.pick()} }

// Post calls f on the loop, soon. F must not wait.
func (l *Loop) Post(f func()) { l.loop.Post(task(func() { l.set.guard(f) })) }

// Watch calls f on the loop each time that something comes on c, until stop is called,
// which does not wait for f. F must not wait, and reads with conn.TryRead until there is
// nothing left. Stop is nil if c cannot be watched. All watches have to be over before
// Close.
func (l *Loop) Watch(c conn.Conn, f func()) (stop func()) {
	inner := conn.Innermost(c)
	socket, isSocket := inner.(conn.Controller)
	_, canRead := inner.(conn.TryReadWriter)
	if !isSocket || !canRead {
		return nil
	}
	if p, ok := inner.(conn.Polled); ok && p.LeavePoller() != nil {
		return nil
	}
	r := &readable{set: l.set, loop: l.loop, socket: socket, f: f}
	if !r.begin() {
		return nil
	}
	return r.stop
}

func (r *readable) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := net.ErrClosed
	_ = r.socket.Control(func(fd uintptr) {
		r.place, err = r.loop.AddFor(int(fd), eventloop.Readable|eventloop.PeerEnded, r)
	})
	if s, ok := r.socket.(conn.Settler); ok && err == nil && !s.Settled() {
		r.unsettled = true
		r.loop.unacked.add(r)
	}
	return err == nil
}

func (r *readable) placed() *int32 { return &r.listed }

// check settles the connection. That is all there is to check: its peer has acknowledged
// what was written, or keep-alive and the kernel find out.
func (r *readable) check(time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.unsettled {
		return
	}
	_ = r.socket.Control(func(fd uintptr) { r.socket.(conn.Settler).Settle(int(fd)) }) // fails if it is closed
	r.settledLocked()
}

func (r *readable) settledLocked() {
	r.unsettled = false
	r.loop.unacked.remove(r)
}

// Ready is called by the loop.
func (r *readable) Ready(eventloop.Events) (again bool) {
	if r.once && !r.release() {
		return false
	}
	r.set.guard(r.f)
	return false
}

func (r *readable) stop() { r.release() }

// release takes the socket from the loop. It reports whether it is the first call that
// does.
func (r *readable) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.over = true
	if r.unsettled {
		r.settledLocked()
	}
	if r.socket.Control(func(fd uintptr) { r.loop.Remove(r.place, int(fd)) }) != nil {
		r.loop.Forget(r.place) // closing has done the rest
	}
	return true
}
