package eventloop_test

import (
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/eventloop"
)

// patience bounds every wait. Each ends long before, unless the code is wrong.
const patience = 20 * time.Second

func startLoop(t testing.TB) *eventloop.Loop {
	t.Helper()
	l, err := eventloop.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// pair returns both ends of a connection. Near is non-blocking; far blocks, for
// patience.
func pair(t testing.TB) (near, far *socket) {
	t.Helper()
	return pairWith(t, 0)
}

// pairWith returns both ends of a connection with buffers of that size.
func pairWith(t testing.TB, buffers int) (near, far *socket) {
	t.Helper()
	nearFD, farFD := conntest.Sockets(t, buffers)
	near, far = &socket{t: t, fd: nearFD}, &socket{t: t, fd: farFD}
	t.Cleanup(near.close)
	t.Cleanup(far.close)
	return near, far
}

// socket is one end of a connection.
type socket struct {
	t    testing.TB
	fd   int
	once sync.Once
}

func (s *socket) close() { s.once.Do(func() { _ = unix.Close(s.fd) }) }

func (s *socket) reset() {
	_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	s.close()
}

func (s *socket) closeWrite() {
	s.t.Helper()
	if err := unix.Shutdown(s.fd, unix.SHUT_WR); err != nil {
		s.t.Error(err)
	}
}

func (s *socket) write(text string) {
	s.t.Helper()
	if n, err := unix.Write(s.fd, []byte(text)); n != len(text) {
		s.t.Errorf("wrote %d of %d bytes: %v", n, len(text), err)
	}
}

func (s *socket) writeUrgent(text string) {
	s.t.Helper()
	if err := unix.Send(s.fd, []byte(text), unix.MSG_OOB); err != nil {
		s.t.Error(err)
	}
}

// read reads what there is, and returns the error that stopped it, which is nil at the
// end.
func (s *socket) read() (n int, err error) {
	var b [4096]byte
	for {
		got, err := unix.Read(s.fd, b[:])
		if err == unix.EINTR {
			continue
		}
		if got <= 0 {
			return n, err
		}
		n += got
	}
}

// await waits until the kernel reports all of these events for the socket.
func (s *socket) await(events int16) {
	s.t.Helper()
	limit := time.Now().Add(patience)
	for {
		p := []unix.PollFd{{Fd: int32(s.fd), Events: events}}
		if _, err := unix.Poll(p, 10); err != nil && err != unix.EINTR {
			s.t.Fatal(err)
		}
		if p[0].Revents&events == events {
			return
		}
		runtime.Gosched() // poll returns at once while one of them holds
		if time.Now().After(limit) {
			s.t.Fatalf("the socket is %#x, want %#x", p[0].Revents, events)
		}
	}
}

// enderFunc is an Ender that is a function.
type enderFunc func()

func (f enderFunc) AtEnd() { f() }

// handlerFunc is a function as a handler.
type handlerFunc func(eventloop.Events) bool

func (f handlerFunc) Ready(e eventloop.Events) bool { return f(e) }

// ear is a handler that records its events, and reads nothing.
type ear chan eventloop.Events

func newEar() ear { return make(ear, 1000) }

func (e ear) Ready(events eventloop.Events) bool {
	e <- events
	return false
}

// hear waits until all of these events were reported, in one call or in several.
func (e ear) hear(t testing.TB, events eventloop.Events) {
	t.Helper()
	var told eventloop.Events
	timeout := time.After(patience)
	for !all(told, events) {
		select {
		case more := <-e:
			told |= more
		case <-timeout:
			t.Fatalf("was told %#x, want %#x", told, events)
		}
	}
}

// all reports whether told has everything wanted. A dead socket may be reported in two
// ways.
func all(told, want eventloop.Events) bool {
	if told&eventloop.Dead != 0 {
		told |= eventloop.Dead
	}
	return told&want == want
}

// silent fails if anything else was reported. A fence should precede it.
func (e ear) silent(t testing.TB) {
	t.Helper()
	select {
	case events := <-e:
		t.Errorf("was told %#x, and nothing had happened", events)
	default:
	}
}

func add(t testing.TB, l *eventloop.Loop, s *socket, h eventloop.Handler) eventloop.Registration {
	t.Helper()
	r, err := l.Add(s.fd, h)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fence returns when the loop has reported everything that happened before: posts have
// their turn after the current events.
func fence(t testing.TB, l *eventloop.Loop) {
	t.Helper()
	onLoop(t, l, func() {})
}

// onLoop has f called by the loop, and waits for it.
func onLoop(t testing.TB, l *eventloop.Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	l.Post(handlerFunc(func(eventloop.Events) bool {
		defer close(done)
		f()
		return false
	}))
	wait(t, done, "what was posted is not called")
}

func wait(t testing.TB, done <-chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal(otherwise)
	}
}

// hold keeps the loop busy, so that everything that happens meanwhile is reported in
// one batch.
func hold(t testing.TB, l *eventloop.Loop) (release func()) {
	t.Helper()
	held, released := make(chan struct{}), make(chan struct{})
	l.Post(handlerFunc(func(eventloop.Events) bool {
		close(held)
		<-released
		return false
	}))
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release) // before the loop is closed, if the test fails
	wait(t, held, "what was posted is not called")
	return release
}

// descriptors returns the number of descriptors of the process.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
