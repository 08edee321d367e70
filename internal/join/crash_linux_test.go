package join_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// faulty is a connection with a method that panics.
type faulty struct {
	*transport.Conn
	method string
}

func (f faulty) at(method string) {
	if f.method == method {
		panic("in " + method)
	}
}

func (f faulty) Read(b []byte) (int, error)  { f.at("Read"); return f.Conn.Read(b) }
func (f faulty) Write(b []byte) (int, error) { f.at("Write"); return f.Conn.Write(b) }
func (f faulty) CloseWrite() error           { f.at("CloseWrite"); return f.Conn.CloseWrite() }
func (f faulty) Close() error                { f.at("Close"); return f.Conn.Close() }
func (f faulty) Reset() error                { f.at("Reset"); return f.Conn.Reset() }
func (f faulty) NotifyRead(error)            { f.at("NotifyRead") }

func (f faulty) Detach(end func()) (int, error) { f.at("Detach"); return f.Conn.Detach(end) }

// copiedFaulty is one for the copier: it has only what a Conn has to have.
type copiedFaulty struct{ conn.Conn }

// copiedSocket is a Socket, too.
type copiedSocket struct {
	conn.Conn
	of faulty
}

func (s copiedSocket) TCP() *net.TCPConn { s.of.at("TCP"); return s.of.TCP() }

// crashRig returns a set, and the panics that it reports apart from results.
func crashRig(t *testing.T) (s *join.Set, told chan *crash.Error) {
	t.Helper()
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	told = make(chan *crash.Error, 10)
	t.Cleanup(e.Close)
	return e.NewSet(func(c *crash.Error) { told <- c }), told
}

// wantCrash expects the panic in err.
func wantCrash(t *testing.T, err error, value string) {
	t.Helper()
	var c *crash.Error
	if !errors.As(err, &c) {
		t.Fatalf("got %v, want a panic", err)
	}
	if c.Value != value || !strings.Contains(c.Stack, "crash_") {
		t.Errorf("got the panic %v, want %v, and where it happened:\n%s", c.Value, value, c.Stack)
	}
}

// beside has bytes go through another join of the engine before and after f, and
// expects that they all arrive.
func beside(t *testing.T, s *join.Set, f func()) {
	t.Helper()
	r := newRig(t)
	s.Join(r.ctx, r.near[join.A], r.near[join.B], join.Options{}, func(result join.Result) { r.result <- result })
	r.t.Cleanup(func() { r.cancel(context.Canceled) })
	part := pattern(100_000)
	send := func() {
		t.Helper()
		go func() { _, _ = r.far[join.A].Write(part) }()
		if got := conntest.Read(t, r.far[join.B], len(part)); !bytes.Equal(got, part) {
			t.Error("bytes of another join are wrong")
		}
	}
	send()
	f()
	send()
	_, _ = r.far[join.A].CloseWrite(), r.far[join.B].CloseWrite()
	if result := r.wait(); result.Err != nil {
		t.Errorf("another join ended with %v", result.Err)
	}
}

func TestPanicInAConnection(t *testing.T) {
	onLoop := func(f faulty) conn.Conn { return f }
	plain := func(f faulty) conn.Conn { return copiedFaulty{f} }
	socket := func(f faulty) conn.Conn { return copiedSocket{copiedFaulty{f}, f} }
	for _, tt := range []struct {
		engine, method string
		make           func(faulty) conn.Conn
	}{
		{"event loop", "Detach", onLoop}, {"event loop", "NotifyRead", onLoop},
		{"event loop", "Close", onLoop}, {"event loop", "Reset", onLoop},
		{"copier", "Read", plain}, {"copier", "Write", plain}, {"copier", "CloseWrite", plain},
		{"copier", "TCP", socket}, {"copier", "Close", socket}, {"copier", "Reset", socket},
	} {
		t.Run(tt.engine+", "+tt.method, func(t *testing.T) {
			s, told := crashRig(t)
			beside(t, s, func() {
				bothSides(t, func(t *testing.T, side join.Side) func() {
					r := newRig(t)
					conns := [2]conn.Conn{r.near[join.A], r.near[join.B]}
					conns[side] = tt.make(faulty{r.near[side], tt.method})
					s.Join(r.ctx, conns[join.A], conns[join.B], join.Options{}, func(result join.Result) { r.result <- result })
					heard := provoke(r, side, tt.method)
					return func() {
						result := await(t, r.result)
						wantCrash(t, result.Err, "in "+tt.method)
						if got := result.Ending(); got != join.Crashed {
							t.Errorf("the join ended as %s, want %s", got, join.Crashed)
						}
						wantGone(t, r, side, tt.method, heard)
					}
				})
			})
			select {
			case c := <-told:
				t.Errorf("a panic was told twice, in the result and to OnCrash: %v", c)
			default:
			}
		})
	}
}

// provoke has peers do what leads to a call of the method, and returns the error of a
// peer's write. Some panics need no such help, so that the write may fail with the reset,
// which takes it off the socket: reading then sees a plain end.
func provoke(r *rig, side join.Side, method string) (heard [2]error) {
	if method == "Reset" {
		_ = r.far[other(side)].Reset()
		return heard
	}
	for s, conn := range r.far {
		_, heard[s] = conn.Write([]byte("hello"))
	}
	if method == "Close" || method == "CloseWrite" {
		_ = r.far[other(side)].CloseWrite()
	}
	if method == "Close" {
		_ = r.far[side].CloseWrite()
	}
	return heard
}

// isReset reports whether the error of a call is a reset by the peer.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// wantGone expects that both connections have been reset, except where the panic came
// after both ends. Heard is the result of provoke.
func wantGone(t *testing.T, r *rig, side join.Side, method string, heard [2]error) {
	t.Helper()
	for s, conn := range r.far {
		if isReset(heard[s]) {
			continue
		}
		if method == "Close" || method == "Reset" && join.Side(s) == other(side) {
			continue // it has read the end before, or has reset the connection itself
		}
		if _, err := io.ReadAll(conn); err == nil {
			t.Errorf("%s sees an end, want a reset", name(join.Side(s)))
		} else if isTimeout(err) {
			t.Errorf("%s is still open", name(join.Side(s)))
		}
	}
}

// A panic in the done function of a join is reported, and ends nothing else.
func TestPanicInDone(t *testing.T) {
	for name, hide := range map[string]func(*transport.Conn) conn.Conn{
		"event loop": func(c *transport.Conn) conn.Conn { return c },
		"copier":     func(c *transport.Conn) conn.Conn { return copiedFaulty{c} },
	} {
		t.Run(name, func(t *testing.T) {
			s, told := crashRig(t)
			beside(t, s, func() {
				var calls atomic.Int32
				a, userA := conntest.Pair(t)
				b, userB := conntest.Pair(t)
				s.Join(t.Context(), hide(a), hide(b), join.Options{}, func(join.Result) { calls.Add(1); panic("in done") })
				_, _ = userA.CloseWrite(), userB.CloseWrite()
				wantCrash(t, await(t, told), "in done")
				if n := calls.Load(); n != 1 {
					t.Errorf("done was called %d times", n)
				}
			})
		})
	}
}

// A join after Close ends at once, and its result says so.
func TestJoinAfterClose(t *testing.T) {
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	s := e.NewSet(nil)
	s.Close()
	r := newRig(t)
	s.Join(r.ctx, r.near[join.A], r.near[join.B], join.Options{}, func(result join.Result) { r.result <- result })
	if result := r.wait(); !errors.Is(result.Err, net.ErrClosed) || result.Ending() != join.Stopped {
		t.Errorf("got %v (%s), want %v (%s)", result.Err, result.Ending(), net.ErrClosed, join.Stopped)
	}
	for _, conn := range r.far {
		_ = conn.SetDeadline(time.Now().Add(patience))
		wantReset(t, conn)
	}
}
