package join_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/transport"
)

func listener(t *testing.T) *transport.Listener {
	t.Helper()
	l, err := transport.ListenUsers("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dialTo(t *testing.T, l *transport.Listener) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
}

func next[T any](t *testing.T, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return got
}

// Connections are accepted as they come, and when the caller resumes, until the listener
// is closed.
func TestWatch(t *testing.T) {
	engine, l := newEngine(t), listener(t)
	dialTo(t, l) // before anybody watches
	accepted, asked := make(chan conn.Conn, 10), make(chan struct{}, 10)
	ended := make(chan error, 2)
	resume := engine.Watch(l, func() (again bool) {
		for {
			c, err := l.TryAccept()
			if err != nil {
				if !errors.Is(err, syscall.EAGAIN) {
					t.Error(err)
				}
				asked <- struct{}{}
				return false
			}
			accepted <- c
		}
	}, func(err error) { ended <- err })
	if resume == nil {
		t.Fatal("a listener cannot be watched")
	}
	_ = next(t, accepted).Close()
	next(t, asked)
	dialTo(t, l)
	_ = next(t, accepted).Close()
	next(t, asked)
	resume()
	next(t, asked)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := next(t, ended); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
	if _, err := l.TryAccept(); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("a closed listener returns %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close returns %v", err)
	}
}

// A panic ends the watch, and nothing else.
func TestWatchPanics(t *testing.T) {
	engine, l := newEngine(t), listener(t)
	ended := make(chan error, 2)
	resume := engine.Watch(l, func() (again bool) { panic("in ready") }, func(err error) { ended <- err })
	if resume == nil {
		t.Fatal("a listener cannot be watched")
	}
	dialTo(t, l)
	var c *crash.Error
	if err := next(t, ended); !errors.As(err, &c) || c.Value != "in ready" {
		t.Errorf("it ended with %v", err)
	}
	resume() // which nobody hears
}

// A listener for which Accept waits is not watched, nor one that is closed.
func TestWatchNot(t *testing.T) {
	engine, waited, closed := newEngine(t), listener(t), listener(t)
	dialTo(t, waited)
	c, err := waited.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = closed.Close()
	for _, l := range []*transport.Listener{waited, closed} {
		if resume := engine.Watch(l, func() bool { return false }, func(error) {}); resume != nil {
			t.Error("it is watched")
		}
	}
}
