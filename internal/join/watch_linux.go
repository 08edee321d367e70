package join

import (
	"errors"
	"net"
	"sync"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/eventloop"
)

// Watch has ready called on an event loop when connections may have come to l, and for
// each call of resume. It is called again while it returns true, and must not wait. When
// that is over ended is called with the reason, once: net.ErrClosed if l is closed, or a
// *crash.Error from ready. It must not wait either. Resume is nil if no loop can watch l.
func (e *Engine) Watch(l conn.TryListener, ready func() (again bool), ended func(error)) (resume func()) {
	w := &watch{loop: e.loops.pick(), ready: ready, ended: ended}
	if l.Watch(w.add, func() { w.end(net.ErrClosed) }) != nil {
		return nil
	}
	return func() { w.loop.Post(w) }
}

// watch is a listener that an event loop watches.
type watch struct {
	loop  *loop
	ready func() (again bool)
	ended func(error)

	mu           sync.Mutex // guards what follows
	registration eventloop.Registration
	fd           int
	busy         bool  // ready is running
	over         error // why the watch has ended, or nil
}

func (w *watch) add(fd uintptr) (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fd = int(fd)
	w.registration, err = w.loop.AddFor(w.fd, eventloop.Readable, w)
	return err
}

// end ends the watch, unless it has ended. That is told when ready has returned.
func (w *watch) end(reason error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over != nil {
		return
	}
	w.over = reason
	if errors.Is(reason, net.ErrClosed) {
		w.loop.Remove(w.registration, w.fd) // it is about to be closed, and may live on in another process
	} else {
		w.loop.Forget(w.registration)
	}
	if !w.busy {
		w.ended(reason)
	}
}

// Ready is called by the loop.
func (w *watch) Ready(eventloop.Events) (again bool) {
	w.mu.Lock()
	w.busy = w.over == nil
	busy := w.busy
	w.mu.Unlock()
	if !busy {
		return false
	}
	defer w.leave()
	return w.ready()
}

// leave is called after ready, also by a panic.
func (w *watch) leave() {
	if c := crash.Caught(recover()); c != nil {
		w.end(c)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	if w.over != nil {
		w.ended(w.over)
	}
}
