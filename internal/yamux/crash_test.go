package yamux_test

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/yamux"
)

// panickyConn panics in one of its methods, once it is told to.
type panickyConn struct {
	resettableConn
	in    string
	armed atomic.Bool
}

func (c *panickyConn) panicIn(method string) {
	if c.in == method && c.armed.Load() {
		panic("injected into " + method)
	}
}

func (c *panickyConn) Read(b []byte) (int, error) {
	n, err := c.resettableConn.Read(b)
	c.panicIn("Read")
	return n, err
}

func (c *panickyConn) Write(b []byte) (int, error) {
	c.panicIn("Write")
	return c.resettableConn.Write(b)
}

// Close closes before it panics: a connection that stays open is another matter.
func (c *panickyConn) Close() error {
	err := c.resettableConn.Close()
	c.panicIn("Close")
	return err
}

func (c *panickyConn) CloseWrite() error {
	c.panicIn("CloseWrite")
	return c.resettableConn.CloseWrite()
}

func (c *panickyConn) SetWriteDeadline(t time.Time) error {
	c.panicIn("SetWriteDeadline")
	return c.resettableConn.SetWriteDeadline(t)
}

// wantCrash expects the error of a panic with this value.
func wantCrash(tb testing.TB, what string, err error, says string) {
	tb.Helper()
	var e *crash.Error
	if !errors.As(err, &e) || !errors.Is(err, yamux.ErrSessionEnded) {
		tb.Fatalf("%s is %v; want a panic that has ended the session", what, err)
	}
	if e.Value != says {
		tb.Errorf("%s comes from the panic %q, want %q", what, e.Value, says)
	}
	if !strings.Contains(e.Stack, "yamux_test") {
		tb.Errorf("the stack of %s does not say where it happened:\n%s", what, e.Stack)
	}
}

// A connection that panics counts as failed: its session ends, streams learn why, and
// Close still returns.
func TestPanicOfConnection(t *testing.T) {
	for in, trigger := range map[string]func(peer, *yamux.Stream){
		// The connection may be closed while this is in flight.
		"Read":  func(p peer, _ *yamux.Stream) { _, _ = p.conn.Write(encode(data(1, 0, "x"))) },
		"Write": func(_ peer, st *yamux.Stream) { _, _ = st.Write([]byte("x")) },
	} {
		for _, side := range []string{"attached", "read"} {
			t.Run(in+", "+side, func(t *testing.T) {
				near, far := memoryPair()
				conn := &panickyConn{resettableConn: near, in: in}
				session, peer := newPeerOn(t, yamux.Client(conn, yamux.Config{}), far)
				st := peer.open(session, 1)
				readable := make(chan struct{}, 100)
				if side == "attached" {
					st.Attach(func() { readable <- struct{}{} }, func() {})
				}
				conn.armed.Store(true)
				trigger(peer, st)
				wait(t, session.Done(), "the end of the session")
				session.Close()
				wantCrash(t, "Err", session.Err(), "injected into "+in)
				if side == "attached" {
					wait(t, readable, "the call of onReadable")
					wantCrash(t, "Failed", st.Failed(), "injected into "+in)
					return
				}
				_, err := st.Read(make([]byte, 1))
				wantCrash(t, "the error of Read", err, "injected into "+in)
				_, err = st.Write([]byte("x"))
				wantCrash(t, "the error of Write", err, "injected into "+in)
				_, err = session.Open(t.Context())
				wantCrash(t, "the error of Open", err, "injected into "+in)
			})
		}
	}
}

// A panic during the end of a session does not keep it from ending.
func TestPanicWhileEnding(t *testing.T) {
	for _, in := range []string{"Close", "CloseWrite", "SetWriteDeadline"} {
		t.Run(in, func(t *testing.T) {
			near, far := memoryPair()
			conn := &panickyConn{resettableConn: near, in: in}
			session, peer := newPeerOn(t, yamux.Client(conn, yamux.Config{}), far)
			st := peer.open(session, 1)
			conn.armed.Store(true)
			if in == "CloseWrite" {
				session.Drain()
			} else {
				session.Close()
			}
			wantReadErr(t, st, yamux.ErrSessionEnded)
			_, err := far.Read(make([]byte, 1))
			if !errors.Is(err, io.EOF) {
				t.Errorf("the peer reads %v, want the end", err)
			}
		})
	}
}

// A callback that panics ends its own session, and no other, not even one that shares
// the budget.
func TestPanicOfCallback(t *testing.T) {
	panics := func() { panic("injected") }
	nothing := func() {}
	for name, tt := range map[string]struct {
		attach func(*yamux.Stream)
		act    func(peer, *yamux.Stream)
	}{
		"readable": {
			func(st *yamux.Stream) { st.Attach(panics, nothing) },
			func(p peer, _ *yamux.Stream) { p.send(data(1, 0, "x")) },
		},
		"readable, with FIN": {
			func(st *yamux.Stream) { st.Attach(panics, nothing) },
			func(p peer, _ *yamux.Stream) { p.send(update(1, flagFIN, 0)) },
		},
		"readable, with RST": {
			func(st *yamux.Stream) { st.Attach(panics, nothing) },
			func(p peer, _ *yamux.Stream) { p.send(update(1, flagRST, 0)) },
		},
		"OnEnd, by RST": {
			func(st *yamux.Stream) { st.OnEnd(panics) },
			func(p peer, _ *yamux.Stream) { p.send(update(1, flagRST, 0)) },
		},
		"OnEnd, by Reset": {
			func(st *yamux.Stream) { st.OnEnd(panics) },
			func(_ peer, st *yamux.Stream) { _ = st.Reset() },
		},
		"OnEnd, at once": {
			func(st *yamux.Stream) { _ = st.Reset() },
			func(_ peer, st *yamux.Stream) { st.OnEnd(panics) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			budget := yamux.NewBudget(1 << 20)
			session, peer := newPeer(t, yamux.Client, yamux.Config{Budget: budget})
			other, otherPeer := newPeer(t, yamux.Client, yamux.Config{Budget: budget})
			st, neighbor := peer.open(session, 1), peer.open(session, 3)
			tt.attach(st)
			tt.act(peer, st)
			wait(t, session.Done(), "the end of the session")
			session.Close()
			wantCrash(t, "Err", session.Err(), "injected")
			_, err := neighbor.Read(make([]byte, 1))
			wantCrash(t, "the error of another stream", err, "injected")
			user := otherPeer.open(other, 1)
			otherPeer.send(data(1, 0, "lives"))
			conntest.WantRead(t, user, "lives")
		})
	}
}

// A panic that follows from the end of the session is not lost.
func TestPanicAfterTheEnd(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	st := peer.open(session, 1)
	st.OnEnd(func() { panic("injected") })
	peer.send(frame{kind: 9})
	wait(t, session.Done(), "the end of the session")
	session.Close()
	wantCrash(t, "Err", session.Err(), "injected")
	if err := session.Err(); !errors.Is(err, yamux.ErrProtocol) {
		t.Errorf("Err is %v, which has lost %v", err, yamux.ErrProtocol)
	}
}
