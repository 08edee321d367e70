package join_test

import (
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// wrapped is a connection inside another one.
type wrapped struct{ conn.Conn }

func (w wrapped) Unwrap() (inner conn.Conn, sameBytes bool) { return w.Conn, true }

// notified is a connection whose owner notes notifications.
type notified struct {
	wrapped
	calls chan<- string
}

func (c notified) NotifyRead(error) { c.calls <- "NotifyRead" }

// asked is a connection that can wait for bytes and for room, and notes the calls.
type asked struct {
	conn.Conn
	calls chan<- string
}

func (c asked) WaitReadable() { c.calls <- "WaitReadable" }

func (c asked) WaitWritable() (int, error) {
	c.calls <- "WaitWritable"
	return 1 << 10, nil
}

// A wrapped connection can do what the connection inside can, in a join that is copied as
// in one that an event loop serves.
func TestWrapped(t *testing.T) {
	for _, mode := range []string{"loop", copied} {
		t.Run("socket"+mode, func(t *testing.T) {
			r := newRig(t)
			calls := make(chan string, 100)
			r.start(wrapped{notified{wrapped{r.near[join.A]}, calls}}, r.near[join.B])
			conntest.Write(t, r.far[join.A], "hello")
			conntest.Read(t, r.far[join.B], len("hello"))
			want(t, calls, "NotifyRead")
		})
	}
	t.Run("memory", func(t *testing.T) {
		r := newRig(t)
		calls := make(chan string, 100)
		near, far := conntest.Memory()
		t.Cleanup(func() { _ = far.Reset() })
		r.start(wrapped{asked{near, calls}}, r.near[join.B])
		want(t, calls, "WaitReadable")
		conntest.Write(t, r.far[join.B], "hello")
		conntest.Read(t, far, len("hello"))
		want(t, calls, "WaitWritable")
	})
	t.Run("memory"+limited, func(t *testing.T) {
		r := newRig(t)
		calls := make(chan string, 100)
		near, far := conntest.Memory()
		t.Cleanup(func() { _ = far.Reset() })
		r.start(wrapped{asked{near, calls}}, r.near[join.B])
		want(t, calls, "WaitReadable")
	})
}

// want waits for a call.
func want(t *testing.T, calls <-chan string, call string) {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case got := <-calls:
			if got == call {
				return
			}
		case <-timeout:
			t.Fatalf("%s was not called", call)
		}
	}
}
