package tcpstate

import (
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/eventloop"
)

// Watcher watches connections, all of them on one goroutine, which the first one
// starts. The zero value is ready. Its methods may be called concurrently, but Close
// only when no more watches are started.
type Watcher struct {
	// OnCrash is called with a panic in fire, or in a connection, which ends only that
	// watch. It may be called concurrently. With nil such a panic ends the process. Set
	// it before the first Start.
	OnCrash func(*crash.Error)

	mu   sync.Mutex      // guards what follows
	loop *eventloop.Loop // or nil
}

// startDelay is how long a new watch waits. Under load most watches are stopped within
// milliseconds, and then cost no system call.
const startDelay = 100 * time.Millisecond

// Start watches c until its state is at least until; then it calls fire, once, on a
// goroutine of its own, and is over. It starts a tenth of a second late. The caller
// must Stop a watch that is not over before anybody else uses c, and may Stop any.
// The watch of a closed connection never fires.
func (w *Watcher) Start(c net.Conn, until State, fire func()) *Watch {
	s, ok := conn.As[conn.Controller](c)
	loop := w.ensureLoop(ok)
	if loop == nil {
		return &Watch{over: true}
	}
	watch := &Watch{loop: loop, socket: s, until: until, fire: fire, onCrash: w.OnCrash}
	watch.mu.Lock()
	defer watch.mu.Unlock()
	watch.timer = time.AfterFunc(startDelay, watch.register)
	return watch
}

// ensureLoop returns the loop, and starts it if it is wanted. It returns nil if it is
// not, or if descriptors are short.
func (w *Watcher) ensureLoop(wanted bool) *eventloop.Loop {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wanted && w.loop == nil {
		w.loop, _ = eventloop.Start()
	}
	return w.loop
}

// Close ends all watches, and the goroutine. The Watcher can be used again.
func (w *Watcher) Close() {
	w.mu.Lock()
	loop := w.loop
	w.loop = nil
	w.mu.Unlock()
	if loop != nil {
		loop.Close()
	}
}

// Watch watches a connection.
type Watch struct {
	loop   *eventloop.Loop
	socket conn.Controller
	until  State
	fire   func()

	onCrash func(*crash.Error) // or nil

	mu           sync.Mutex  // guards what follows
	timer        *time.Timer // until the watch is registered
	registration eventloop.Registration
	registered   bool
	over         bool
	fired        chan struct{} // closed when fire has returned; nil if it was not called
}

// register adds the connection to the loop, which reports what holds already.
func (w *Watch) register() {
	w.mu.Lock()
	defer w.unlock()
	if w.over {
		return
	}
	w.timer = nil
	err := net.ErrClosed
	_ = w.socket.Control(func(fd uintptr) {
		w.registration, err = w.loop.AddFor(int(fd), eventloop.PeerEnded, w)
		w.registered = err == nil
	})
	w.over = err != nil
}

// Ready is called by the loop when the peer has ended, and when the connection is dead.
// The kernel knows which of the two it is.
func (w *Watch) Ready(eventloop.Events) (again bool) {
	w.mu.Lock()
	defer w.unlock()
	if w.over {
		return false
	}
	reached := false
	_ = w.socket.Control(func(fd uintptr) {
		if reached = stateOfSocket(fd) >= w.until; reached {
			w.removeLocked(fd)
		}
	})
	if reached {
		w.over = true
		w.fired = make(chan struct{})
		go w.callFire()
	}
	return false
}

// removeLocked removes the connection from the loop.
func (w *Watch) removeLocked(fd uintptr) {
	w.loop.Remove(w.registration, int(fd))
	w.registered = false
}

// unlock releases the lock. A panic in the connection ends the watch.
func (w *Watch) unlock() {
	defer w.mu.Unlock()
	if w.onCrash == nil {
		return
	}
	if c := crash.Caught(recover()); c != nil {
		w.over = true
		if w.registered {
			w.loop.Forget(w.registration)
		}
		w.onCrash(c)
	}
}

func (w *Watch) callFire() {
	defer close(w.fired)
	if w.onCrash != nil {
		defer func() {
			if c := crash.Caught(recover()); c != nil {
				w.onCrash(c)
			}
		}()
	}
	w.fire()
}

// Stop ends the watch, and waits until fire has returned if it was called.
func (w *Watch) Stop() {
	if fired := w.stop(); fired != nil {
		<-fired
	}
}

func (w *Watch) stop() (fired chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over:
	case w.timer != nil:
		w.over = true
		w.timer.Stop()
	default:
		w.over = true
		if w.socket.Control(w.removeLocked) != nil {
			w.loop.Forget(w.registration) // the close has removed it
		}
	}
	return w.fired
}
