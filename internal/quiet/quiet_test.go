package quiet_test

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/quiet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait. Only with a bug does a wait take so long.
const patience = 20 * time.Second

// owner is a test that has a quiet connection.
type owner struct {
	*testing.T
	conn    *quiet.Conn
	running sync.WaitGroup
	came    chan string
	failed  chan error
}

func own(t *testing.T, c conn.Conn, watch func(conn.Conn, func()) func()) *owner {
	o := &owner{T: t, came: make(chan string, 1000), failed: make(chan error, 1000)}
	o.conn = quiet.New(c, quiet.Owner{
		Watch: watch, Go: o.running.Go, Received: func(b []byte) { o.came <- string(b) }, Failed: func(err error) { o.failed <- err },
	})
	return o
}

// want expects bytes, in whatever pieces they come.
func (o *owner) want(want string) {
	o.Helper()
	got := ""
	for len(got) < len(want) {
		got += within(o.T, o.came, "what was sent")
	}
	if got != want {
		o.Errorf("got %q, want %q", got, want)
	}
}

func within[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatal("waited in vain for " + what)
	}
	return v
}

func unwatched(conn.Conn, func()) (stop func()) { return nil }

// loops returns the watch of event loops that end with the test.
func loops(t *testing.T) (watch func(conn.Conn, func()) (stop func())) {
	t.Helper()
	engine, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	set := engine.NewSet(func(*crash.Error) {})
	t.Cleanup(func() {
		set.Close()
		engine.Close()
	})
	return set.WhenReadable
}

// eachConn runs a test with a connection that an event loop watches, and with one that has
// to be read.
func eachConn(t *testing.T, test func(o *owner, far conn.Conn)) {
	t.Run("watched", func(t *testing.T) {
		near, far := conntest.Pair(t)
		o := own(t, near, loops(t))
		test(o, far)
		o.conn.Reset()
		o.running.Wait()
	})
	t.Run("read", func(t *testing.T) {
		near, far := conntest.Pair(t)
		o := own(t, near, unwatched)
		test(o, far)
		o.conn.Reset()
		o.running.Wait()
	})
}

// What was written before the start comes after the first bytes, and lines go both ways.
func TestLinesGoBothWays(t *testing.T) {
	eachConn(t, func(o *owner, far conn.Conn) {
		o.conn.Write([]byte("second\n"))
		o.conn.Write([]byte("third\n"))
		o.conn.Start([]byte("first\n"))
		conntest.WantRead(o.T, far, "first\nsecond\nthird\n")
		for range 3 {
			conntest.Write(o.T, far, "a few")
			o.want("a few")
			long := strings.Repeat("many more ", 100)
			conntest.Write(o.T, far, long)
			o.want(long)
			o.conn.Write([]byte("an answer\n"))
			conntest.WantRead(o.T, far, "an answer\n")
		}
	})
}

// What has come before the start is received.
func TestPeerSpeaksFirst(t *testing.T) {
	eachConn(t, func(o *owner, far conn.Conn) {
		conntest.Write(o.T, far, "hello\n")
		o.conn.Start(nil)
		o.want("hello\n")
	})
}

// The owner learns of the end, after what has come before it.
func TestPeerEnds(t *testing.T) {
	for name, end := range map[string]func(conn.Conn) error{"end": conn.Conn.CloseWrite, "reset": conn.Conn.Reset} {
		t.Run(name, func(t *testing.T) {
			eachConn(t, func(o *owner, far conn.Conn) {
				o.conn.Start(nil)
				conntest.Write(o.T, far, "last\n")
				o.want("last\n")
				if err := end(far); err != nil {
					o.Error(err)
				}
				if err := within(o.T, o.failed, "the end"); err == nil || name == "end" && err != io.EOF {
					o.Errorf("it ends with %v", err)
				}
			})
		})
	}
}

// What was written arrives before a close, and nothing is written after that.
func TestClose(t *testing.T) {
	eachConn(t, func(o *owner, far conn.Conn) {
		o.conn.Start([]byte("first\n"))
		o.conn.Write([]byte("last\n"))
		o.conn.Close()
		o.conn.Write([]byte("late\n"))
		if got, err := io.ReadAll(far); err != nil || string(got) != "first\nlast\n" {
			o.Errorf("got %q, %v", got, err)
		}
	})
}

// A connection that is over before it was started stays so.
func TestResetBeforeStart(t *testing.T) {
	eachConn(t, func(o *owner, far conn.Conn) {
		o.conn.Reset()
		o.conn.Start([]byte("first\n"))
		conntest.WantReset(o.T, far)
	})
}

// A peer that takes nothing for half a minute, or is to take too much, is dead.
func TestPeerTakesNothing(t *testing.T) {
	for name, after := range map[string]time.Duration{"a line": 30 * time.Second, "many lines": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := conntest.Memory() // without a buffer
				o := own(t, near, unwatched)
				o.conn.Start([]byte("first\n"))
				if name == "many lines" {
					for range 1000 {
						o.conn.Write([]byte("again\n"))
					}
				}
				since := time.Now()
				<-o.failed
				if took := time.Since(since); took != after {
					t.Errorf("it fails after %v, want %v", took, after)
				}
				o.conn.Reset()
				_ = far.Reset()
				o.running.Wait()
			})
		})
	}
}

// A watched connection whose socket is full has failed at once: no goroutine waits for it.
func TestWatchedPeerTakesNothing(t *testing.T) {
	near, _ := conntest.Pair(t)
	o := own(t, near, loops(t))
	o.conn.Start(nil)
	for range 10_000 {
		o.conn.Write(make([]byte, 4<<10))
		if len(o.failed) > 0 {
			break
		}
	}
	if len(o.failed) == 0 {
		t.Error("it takes everything")
	}
	o.conn.Reset()
	o.running.Wait()
}
