//go:build linux

// Package eventloop notifies handlers of ready sockets, thousands of them on one
// goroutine, so that an idle connection costs neither a stack nor a buffer.
//
// The runtime's own poller wakes a goroutine for each connection and cannot say what it
// saw. A [Loop] reports it ([Events]) and costs half as much for each event; in
// exchange its handlers may never wait. It is edge-triggered: a handler is called once
// when bytes have come, and reads until there are none.
//
// It does not own sockets. The runtime's poller should not watch the same ones, or each
// event is paid for twice.
package eventloop

import (
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Events is a set of events on a socket.
type Events uint32

// The events. Each is reported once, together with everything that holds by then.
const (
	Readable Events = unix.EPOLLIN
	Writable Events = unix.EPOLLOUT
	// Urgent: urgent data is in flight, and a read may end short of it.
	Urgent Events = unix.EPOLLPRI
	// PeerEnded: FIN has come, perhaps behind bytes that are not read yet.
	PeerEnded Events = unix.EPOLLRDHUP
	// Dead: the connection was reset or has failed, or both sides have ended.
	Dead Events = unix.EPOLLHUP | unix.EPOLLERR
	// Failed is the part of Dead that is missing after an orderly end. It is also
	// missing if a read or write has returned the failure first.
	Failed Events = unix.EPOLLERR
	// Posted comes from Post, and alone. No events at all mean another turn.
	Posted Events = 1 << 24
)

// Handler handles the events of a socket.
type Handler interface {
	// Ready is called on the loop's goroutine, and must not wait for anything. If it
	// returns true it is called again, without events, after all others have had their
	// turn.
	Ready(Events) (again bool)
}

// batch is how many events one system call returns at most. More would save nothing: a
// system call for 128 sockets is cheap already.
const batch = 128

// Loop watches sockets on one goroutine. Its methods may be called concurrently, and by
// handlers, except Close.
type Loop struct {
	epoll, wake int // descriptors; wake interrupts the wait
	done        chan struct{}

	// Used by the loop's goroutine only.
	events [batch]unix.EpollEvent
	again  []Handler
	atEnd  []Ender
	// scheduled is when the loop went through the runtime's scheduler.
	scheduled time.Time
	// crowded is set when events came while others were handled, and no sleep since.
	crowded bool

	mu      sync.Mutex // guards what follows
	slots   []slot
	free    []int32
	posted  []Handler
	waiting bool // for events, and so has to be woken
	closed  bool
}

// slot is a place for a socket's handler. The kernel is given its number and its
// generation: an event may be out of date by the time it is seen.
type slot struct {
	handler    Handler
	generation int32
}

// Registration is a socket's place in a loop.
type Registration struct{ slot, generation int32 }

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
	l := &Loop{epoll: epoll, wake: wake, done: make(chan struct{})}
	go l.run()
	return l, nil
}

// Close stops the loop and waits for its end. Sockets stay as they are, and their
// handlers are not called any more.
func (l *Loop) Close() {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	if first {
		l.wakeUp()
	}
	l.mu.Unlock()
	<-l.done
}

// Add watches the socket fd. Its handler is called soon, with what holds already. It
// fails if memory is short, and with net.ErrClosed after Close.
func (l *Loop) Add(fd int, h Handler) (Registration, error) {
	return l.AddFor(fd, Readable|Writable|Urgent|PeerEnded, h)
}

// AddFor is Add for some events only. Dead is always reported.
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
	r := Registration{number, s.generation}
	event := unix.EpollEvent{
		Events: uint32(events) | unix.EPOLLET,
		Fd:     r.slot, Pad: r.generation,
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		l.forgetLocked(r)
		return Registration{}, fmt.Errorf("event loop: epoll_ctl: %w", err)
	}
	return r, nil
}

// Forget ends the watch. It must be called once, before or after the socket is closed,
// which removes it from the kernel's list.
func (l *Loop) Forget(r Registration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLocked(r)
}

func (l *Loop) forgetLocked(r Registration) {
	s := &l.slots[r.slot]
	s.handler = nil
	s.generation++
	l.free = append(l.free, r.slot)
}

// Remove is Forget for a socket that stays open: it removes the socket from the
// kernel's list.
func (l *Loop) Remove(r Registration, fd int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed { // otherwise the list's descriptor may be something else by now
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) // fails only if it is not there
	}
	l.forgetLocked(r)
}

// Handlers returns the handlers of all watched sockets.
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

// Post has h called with Posted, soon and on the loop's goroutine. After Close it does
// nothing.
func (l *Loop) Post(h Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.posted = append(l.posted, h)
	l.wakeUp()
}

// Ender is called when all events of a turn have been handled.
type Ender interface{ AtEnd() }

// AtEnd has e called after the handlers of the current events, so that several of them
// can send at once. Only a handler may call it.
func (l *Loop) AtEnd(e Ender) { l.atEnd = append(l.atEnd, e) }

// wakeUp interrupts the wait. The caller holds mu.
func (l *Loop) wakeUp() {
	if l.waiting {
		l.waiting = false
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when it would wake anyway
	}
}

func (l *Loop) run() {
	defer close(l.done)
	defer func() { _, _ = unix.Close(l.epoll), unix.Close(l.wake) }()
	var spare []Handler // for those that are called again
	for {
		posted, timeout, ok := l.prepare()
		if !ok {
			return
		}
		n := l.wait(timeout)
		l.reschedule()
		again := l.again
		l.again = spare[:0]
		for _, event := range l.events[:n] {
			if h := l.lookup(Registration{event.Fd, event.Pad}); h != nil {
				l.callHandler(h, Events(event.Events))
			}
		}
		for _, h := range posted {
			l.callHandler(h, Posted)
		}
		for _, h := range again {
			l.callHandler(h, 0)
		}
		clear(again)
		spare = again
		for i := 0; i < len(l.atEnd); i++ { // it may grow meanwhile
			l.atEnd[i].AtEnd()
		}
		clear(l.atEnd)
		l.atEnd = l.atEnd[:0]
	}
}

// prepare returns what was posted, and how long to wait for events. It returns false
// when the loop has been closed.
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

// lookup returns the handler that r belongs to, or nil if r is out of date.
func (l *Loop) lookup(r Registration) Handler {
	if r.slot < 0 {
		return nil // wake
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := &l.slots[r.slot]; s.generation == r.generation {
		return s.handler
	}
	return nil
}

func (l *Loop) callHandler(h Handler, e Events) {
	if h.Ready(e) {
		l.again = append(l.again, h)
	}
}
