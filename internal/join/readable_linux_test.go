package join_test

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

func newEngine(t *testing.T) *join.Engine {
	t.Helper()
	engine, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	return engine
}

// The function is called once, for bytes, an end or a reset, also if they came before.
func TestWhenReadable(t *testing.T) {
	engine := newEngine(t)
	for name, act := range map[string]func(far *transport.Conn) error{
		"bytes": func(far *transport.Conn) error { _, err := far.Write([]byte("hello")); return err },
		"end":   (*transport.Conn).CloseWrite,
		"reset": (*transport.Conn).Reset,
	} {
		for _, before := range []bool{false, true} {
			near, far := conntest.Pair(t)
			told := make(chan struct{}, 10)
			if before {
				if err := act(far); err != nil {
					t.Fatal(err)
				}
			}
			stop := engine.NewSet(nil).WhenReadable(near, func() { told <- struct{}{} })
			if stop == nil {
				t.Fatal("a socket cannot be watched")
			}
			if !before {
				select {
				case <-told:
					t.Errorf("%s: told before anything came", name)
				case <-time.After(5 * time.Millisecond):
				}
				if err := act(far); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-told:
			case <-time.After(patience):
				t.Fatalf("%s: not told", name)
			}
			stop()
			if len(told) > 0 {
				t.Errorf("%s: told again", name)
			}
		}
	}
}

// After stop the function is not called, and the connection can be joined; nor is it
// called for a connection that has been closed meanwhile.
func TestWhenReadableStopped(t *testing.T) {
	engine := newEngine(t)
	var told atomic.Int32
	near, far := conntest.Pair(t)
	stop := engine.NewSet(nil).WhenReadable(near, func() { told.Add(1) })
	stop()
	server, local := conntest.Pair(t)
	result := make(chan join.Result, 1)
	engine.NewSet(nil).Join(t.Context(), near, server, join.Options{}, func(r join.Result) { result <- r })
	if _, err := far.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if n, err := local.Read(buf); string(buf[:n]) != "hello" || err != nil {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	_ = far.Reset()
	<-result

	closed, _ := conntest.Pair(t)
	stop = engine.NewSet(nil).WhenReadable(closed, func() { told.Add(1) })
	_ = closed.Close()
	stop()
	if n := told.Load(); n != 0 {
		t.Errorf("%d were told", n)
	}
	if engine.NewSet(nil).WhenReadable(closed, func() { told.Add(1) }) != nil {
		t.Error("a closed connection is watched")
	}
}

// A connection that is no socket cannot be watched, nor be tried without waiting.
func TestNoPrompt(t *testing.T) {
	near, _ := conntest.Memory()
	if newEngine(t).NewSet(nil).WhenReadable(near, func() {}) != nil {
		t.Error("a connection in memory is watched")
	}
	if _, err := conn.TryRead(near, make([]byte, 1)); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("TryRead: %v", err)
	}
	if conn.TryWrite(near, []byte("x")) {
		t.Error("TryWrite has written")
	}
}
