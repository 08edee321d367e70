package join

import (
	"net"
	"sync"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/eventloop"
)

// readable waits for something to come on a socket that is not joined yet.
type readable struct {
	engine *Engine
	loop   *loop
	socket conn.Controller
	f      func()

	mu    sync.Mutex // guards what follows
	place eventloop.Registration
	over  bool
}

// WhenReadable calls f, once, when reading from c would not wait. F must not
// wait: it is called on an event loop. Stop ends the watch, and does not wait for f. The
// caller must call it before anybody else uses c, if f has not been called. It is nil if
// c cannot be watched. All watches have to be over before Close.
func (e *Engine) WhenReadable(c conn.Conn, f func()) (stop func()) {
	socket, ok := conn.Innermost(c).(conn.Controller)
	if !ok {
		return nil
	}
	r := &readable{engine: e, loop: e.loops.pick(), socket: socket, f: f}
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
	return err == nil
}

// Ready is called by the loop.
func (r *readable) Ready(eventloop.Events) (again bool) {
	if !r.release() {
		return false
	}
	if c := caught(r.f); c != nil {
		r.engine.crashed(c)
	}
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
	if r.socket.Control(func(fd uintptr) { r.loop.Remove(r.place, int(fd)) }) != nil {
		r.loop.Forget(r.place) // closing has done the rest
	}
	return true
}
