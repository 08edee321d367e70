package tcpstate

import (
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/eventloop"
)

// Watcher watches connections, all of them on one goroutine, which it starts
// with the first. The zero value is ready. Its methods may be called
// concurrently, but Close only when no more is started.
type Watcher struct {
	// OnCrash is told of a panic in fire, or in a connection, which ends that
	// watch only. It may be called concurrently. Nil leaves such a panic to end
	// the process. To be set before the first Start.
	OnCrash func(*crash.Error)

	mu   sync.Mutex      // guards what follows
	loop *eventloop.Loop // or nil
}

// lateness is how long nothing is watched at first. Under load most watches are
// stopped within milliseconds, and then cost no system call.
const lateness = 100 * time.Millisecond

// Start watches conn until its state is at least until; then it calls fire,
// once, on a goroutine of its own, and is over. It does so a tenth of a second
// late at first. Before anybody else uses conn the caller must Stop a watch that
// is not over, and may Stop any. A connection that is closed meanwhile is
// nobody's to watch any more.
func (w *Watcher) Start(conn net.Conn, until State, fire func()) *Watch {
	s, ok := socketOf(conn)
	loop := w.running(ok)
	if loop == nil {
		return &Watch{over: true}
	}
	watch := &Watch{loop: loop, socket: s, until: until, fire: fire, onCrash: w.OnCrash}
	watch.mu.Lock()
	defer watch.mu.Unlock()
	watch.timer = time.AfterFunc(lateness, watch.begin)
	return watch
}

// running gives the loop, or nil if none is wanted, or none to be had while
// descriptors are short.
func (w *Watcher) running(wanted bool) *eventloop.Loop {
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

// Watch is a watch over a connection.
type Watch struct {
	loop   *eventloop.Loop
	socket socket
	until  State
	fire   func()

	onCrash func(*crash.Error) // or nil

	mu     sync.Mutex  // guards what follows
	timer  *time.Timer // until it has begun
	place  eventloop.Registration
	placed bool
	over   bool
	fired  chan struct{} // closed when fire has returned; nil if it was not called
}

// begin makes the connection known to the loop, which tells what holds already.
func (w *Watch) begin() {
	w.mu.Lock()
	defer w.leave()
	if w.over {
		return
	}
	w.timer = nil
	err := net.ErrClosed
	_ = w.socket.Control(func(fd uintptr) {
		w.place, err = w.loop.AddFor(int(fd), eventloop.PeerEnded, w)
		w.placed = err == nil
	})
	w.over = err != nil
}

// Ready is called by the loop when the peer has ended, and when the connection
// is dead. The kernel knows better which of the two.
func (w *Watch) Ready(eventloop.Events) (again bool) {
	w.mu.Lock()
	defer w.leave()
	if w.over {
		return false
	}
	reached := false
	_ = w.socket.Control(func(fd uintptr) {
		if reached = stateOfSocket(fd) >= w.until; reached {
			w.remove(fd)
		}
	})
	if reached {
		w.over = true
		w.fired = make(chan struct{})
		go w.callFire()
	}
	return false
}

// remove takes the connection from the loop. It is called with mu held.
func (w *Watch) remove(fd uintptr) {
	w.loop.Remove(w.place, int(fd))
	w.placed = false
}

// leave gives the lock back. A panic of the connection's ends the watch.
func (w *Watch) leave() {
	defer w.mu.Unlock()
	if w.onCrash == nil {
		return
	}
	if c := crash.Caught(recover()); c != nil {
		w.over = true
		if w.placed {
			w.loop.Forget(w.place)
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
	if fired := w.end(); fired != nil {
		<-fired
	}
}

func (w *Watch) end() (fired chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over:
	case w.timer != nil:
		w.over = true
		w.timer.Stop()
	default:
		w.over = true
		if w.socket.Control(w.remove) != nil {
			w.loop.Forget(w.place) // closing has done the rest
		}
	}
	return w.fired
}
