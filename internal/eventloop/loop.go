//go:build linux

// Package eventloop tells when sockets are ready, thousands of them on one
// goroutine, so that a connection at rest costs neither a stack nor a buffer.
//
// The runtime's own poller wakes a goroutine for each connection and cannot
// say what it saw. A [Loop] says it ([Events]) and costs half as much for each
// event; in exchange its handlers may never wait. It is edge-triggered: a
// handler is told once that bytes have come, and reads until there are none.
//
// It does not own sockets. Those it watches should not be known to the
// runtime's poller too, or each event is paid for twice.
package eventloop

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// Events is a set of what happened on a socket.
type Events uint32

// What may happen. Each is told once, together with all that holds by then.
const (
	Readable Events = unix.EPOLLIN
	Writable Events = unix.EPOLLOUT
	// Urgent data is on its way: a read may end short of it.
	Urgent Events = unix.EPOLLPRI
	// PeerEnded: FIN has come, perhaps behind bytes that are not read yet.
	PeerEnded Events = unix.EPOLLRDHUP
	// Dead: the connection was reset or has failed, or both sides have ended.
	Dead Events = unix.EPOLLHUP | unix.EPOLLERR
	// Failed is the part of Dead that an orderly end does not have. Reading or
	// writing may have taken note of the failure first; then it is missing.
	Failed Events = unix.EPOLLERR
	// Posted comes from Post, and alone. No events at all are another turn.
	Posted Events = 1 << 24
)

// Handler is told what happens on a socket.
type Handler interface {
	// Ready is called on the loop's goroutine, and must not wait for anything.
	// If it returns true it is called again, without events, when all others
	// have had their turn.
	Ready(Events) (again bool)
}

// batch is how many events are taken at a time. More would save nothing: a
// system call for 128 sockets is cheap already.
const batch = 128

// Loop watches sockets on one goroutine. Its methods may be called
// concurrently, and by handlers; only Close may not.
type Loop struct {
	epoll, wake int // descriptors; wake interrupts the wait
	ended       chan struct{}

	// Of the loop's goroutine.
	events [batch]unix.EpollEvent
	again  []Handler
	atEnd  []func()

	mu      sync.Mutex // guards what follows
	slots   []slot
	free    []int32
	posted  []Handler
	waiting bool // for events, and so has to be woken
	closed  bool
}

// slot is a place for a socket's handler. The kernel is given its number, and
// which use of it this is: an event may be out of date by the time it is seen.
type slot struct {
	handler Handler
	use     int32
}

// Registration is a socket's place in a loop.
type Registration struct{ slot, use int32 }

// Start starts a loop. It fails if descriptors are short.
func Start() (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("event loop: epoll_create1: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: -1}
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &event)
	}
	if err != nil {
		_, _ = unix.Close(epoll), unix.Close(wake)
		return nil, fmt.Errorf("event loop: eventfd: %w", err)
	}
	l := &Loop{epoll: epoll, wake: wake, ended: make(chan struct{})}
	go l.run()
	return l, nil
}

// Close stops the loop and waits until it has. Sockets are left as they are,
// and their handlers are not called any more.
func (l *Loop) Close() {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	if first {
		l.wakeUp()
	}
	l.mu.Unlock()
	<-l.ended
}

// Add watches the socket fd from now on. Its handler is called soon, with what
// holds already. It fails if memory is short, and with net.ErrClosed after Close.
func (l *Loop) Add(fd int, h Handler) (Registration, error) {
	return l.AddFor(fd, Readable|Writable|Urgent|PeerEnded, h)
}

// AddFor is Add for some events only. Of Dead the handler is told always.
func (l *Loop) AddFor(fd int, events Events, h Handler) (Registration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Registration{}, net.ErrClosed
	}
	if len(l.free) == 0 {
		l.free = append(l.free, int32(len(l.slots)))
		l.slots = append(l.slots, slot{})
	}
	number := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	s := &l.slots[number]
	s.handler = h
	r := Registration{number, s.use}
	event := unix.EpollEvent{
		Events: uint32(events) | unix.EPOLLET,
		Fd:     r.slot, Pad: r.use,
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		l.forgetLocked(r)
		return Registration{}, fmt.Errorf("event loop: epoll_ctl: %w", err)
	}
	return r, nil
}

// Forget ends the watch. It has to be called once, before or after the socket
// is closed, which is what takes it from the kernel's list.
func (l *Loop) Forget(r Registration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLocked(r)
}

func (l *Loop) forgetLocked(r Registration) {
	s := &l.slots[r.slot]
	s.handler = nil
	s.use++
	l.free = append(l.free, r.slot)
}

// Remove is Forget for a socket that stays open: it is taken from the kernel's
// list.
func (l *Loop) Remove(r Registration, fd int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed { // or else the list's descriptor may be another thing by now
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) // fails only if it is not there
	}
	l.forgetLocked(r)
}

// Handlers gives those of all sockets that are watched.
func (l *Loop) Handlers() (all []Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.slots {
		if s.handler != nil {
			all = append(all, s.handler)
		}
	}
	return all
}

// Post has h called with Posted, soon and on the loop's goroutine. After Close
// it does nothing.
func (l *Loop) Post(h Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.posted = append(l.posted, h)
	l.wakeUp()
}

// AtEnd has f called when the handlers that have events now have been called:
// what several of them have to say is so said at once. Only a handler may call
// it.
func (l *Loop) AtEnd(f func()) { l.atEnd = append(l.atEnd, f) }

// wakeUp is called with mu held.
func (l *Loop) wakeUp() {
	if l.waiting {
		l.waiting = false
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when it would wake anyway
	}
}

func (l *Loop) run() {
	defer close(l.ended)
	defer func() { _, _ = unix.Close(l.epoll), unix.Close(l.wake) }()
	for {
		posted, timeout, ok := l.prepare()
		if !ok {
			return
		}
		n := l.wait(timeout)
		again := l.again
		l.again = nil
		for _, event := range l.events[:n] {
			if h := l.handler(Registration{event.Fd, event.Pad}); h != nil {
				l.call(h, Events(event.Events))
			}
		}
		for _, h := range posted {
			l.call(h, Posted)
		}
		for _, h := range again {
			l.call(h, 0)
		}
		for i := 0; i < len(l.atEnd); i++ { // which may grow meanwhile
			l.atEnd[i]()
		}
		clear(l.atEnd)
		l.atEnd = l.atEnd[:0]
	}
}

// yields is how often a loop lets others run before it sleeps. Under load
// something comes within microseconds, from a process that waits for this very
// processor; having it run costs less than sleeping and being woken does, and
// more comes at a time. Without load it costs a microsecond for each sleep.
const yields = 3

// wait gives the number of events that there are. A negative timeout waits until
// there are some, or wake is called.
func (l *Loop) wait(timeout int) (n int) {
	for i := 0; i < yields && timeout < 0; i++ {
		if n = l.poll(0); n > 0 {
			return n
		}
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // to the scheduler as good as being preempted; cannot fail
	}
	return l.poll(timeout)
}

func (l *Loop) poll(timeout int) (n int) {
	n, err := unix.EpollWait(l.epoll, l.events[:], timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		panic(fmt.Sprintf("event loop: epoll_wait: %v", err)) // it has no other errors for these arguments
	}
	return max(n, 0)
}

// prepare takes what was posted, and says how long to wait for events. It gives
// false when the loop has been closed.
func (l *Loop) prepare() (posted []Handler, timeout int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	posted = l.posted
	l.posted = nil
	if len(posted)+len(l.again) == 0 {
		timeout = -1
	}
	l.waiting = timeout < 0
	return posted, timeout, !l.closed
}

// handler gives the handler that r belongs to, or nil if it is out of date.
func (l *Loop) handler(r Registration) Handler {
	if r.slot < 0 {
		return nil // wake
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := &l.slots[r.slot]; s.use == r.use {
		return s.handler
	}
	return nil
}

func (l *Loop) call(h Handler, e Events) {
	if h.Ready(e) {
		l.again = append(l.again, h)
	}
}
