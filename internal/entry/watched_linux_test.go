package entry_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/entry"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// patience bounds every wait of a test. It is never reached unless the test fails.
const patience = 30 * time.Second

// rig is a listener that an event loop watches.
type rig struct {
	*testing.T
	entry.Acceptor
	listener *transport.Listener
	log      strings.Builder // read it once Serve has returned
	served   chan error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	engine, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	r := &rig{T: t, served: make(chan error, 1)}
	r.Admission = admission.NewController(admission.Limits{}.WithDefaults(), nil, nil)
	t.Cleanup(r.Admission.Close)
	r.Log, r.Watch = slog.New(slog.NewTextHandler(&r.log, nil)), engine.Watch
	if r.listener, err = transport.ListenUsers("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.listener.Close() })
	return r
}

// serve serves l, which has the connections of r.listener.
func (r *rig) serve(l conn.Listener, handle entry.Handle, short entry.Shortage) {
	go func() { r.served <- r.Serve(r.Context(), l, handle, short) }()
}

func (r *rig) dial() net.Conn {
	r.Helper()
	c, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = c.Close() })
	return c
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

// noShortage is for a listener with descriptors.
func noShortage(t *testing.T) entry.Shortage {
	return entry.Shortage{Lend: func() bool { return false }, Handle: func(conn.Conn) { t.Error("there is no shortage") }}
}

// While a connection has to wait, no other one is accepted. If the listener is closed
// meanwhile, Serve returns after the wait.
func TestCloseWhileConnectionWaits(t *testing.T) {
	r := newRig(t)
	handled, proceed := make(chan conn.Conn, 2), make(chan struct{})
	r.serve(r.listener, func(c conn.Conn) (wait func()) {
		handled <- c
		return func() { <-proceed }
	}, noShortage(t))
	r.dial()
	_ = next(t, handled).Close()
	r.dial()
	proceed <- struct{}{}
	_ = next(t, handled).Close() // the second one, once the first has waited
	third := r.dial()
	_ = r.listener.Close()
	conntest.WantReset(t, third)
	select {
	case err := <-r.served:
		t.Errorf("Serve has returned %v before the wait is over", err)
	default:
	}
	proceed <- struct{}{}
	if err := next(t, r.served); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want net.ErrClosed", err)
	}
}

// failing is a listener of which some tries to accept fail.
type failing struct {
	conn.TryListener
	mu   sync.Mutex // guards what follows
	errs []error    // the result of each try; nil accepts
}

func (l *failing) TryAccept() (conn.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		if err != nil {
			return nil, err
		}
	}
	return l.TryListener.TryAccept()
}

// Without descriptors a connection is accepted with the reserve, and turned away. All others
// are accepted when the shortage is over. Each shortage is one line in the log.
func TestShortageAtWatchedListener(t *testing.T) {
	r := newRig(t)
	l := &failing{TryListener: r.listener, errs: []error{
		syscall.EMFILE, nil, // which is accepted with the reserve
		syscall.EMFILE, syscall.EMFILE, // also with the reserve
		nil, syscall.EMFILE, syscall.EMFILE, // another shortage
	}}
	handled, turned := make(chan conn.Conn, 4), make(chan conn.Conn, 4)
	for range 3 { // before anybody accepts
		r.dial()
	}
	r.serve(l, func(c conn.Conn) (wait func()) {
		handled <- c
		return nil
	}, entry.Shortage{Lend: r.Admission.Reserve.Lend, Handle: func(c conn.Conn) { turned <- c }})
	for _, from := range []chan conn.Conn{turned, handled, handled} {
		_ = next(t, from).Reset()
	}
	if n := r.Admission.Counters.Of(admission.Shortages); n != 3 {
		t.Errorf("%d shortages are counted, want 3", n)
	}
	_ = r.listener.Close()
	if err := next(t, r.served); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want net.ErrClosed", err)
	}
	if n := strings.Count(r.log.String(), "cannot accept"); n != 2 {
		t.Errorf("%d lines in the log, want 2:\n%s", n, &r.log)
	}
}

// Serve returns a panic in what takes a connection over.
func TestPanicAtWatchedListener(t *testing.T) {
	r := newRig(t)
	r.serve(r.listener, func(c conn.Conn) func() {
		t.Cleanup(func() { _ = c.Reset() })
		panic("broken")
	}, noShortage(t))
	r.dial()
	if err, want := next(t, r.served), (*crash.Error)(nil); !errors.As(err, &want) {
		t.Errorf("Serve: %v, want the panic", err)
	}
}

// A listener that is closed before Serve is served no more.
func TestServeClosedListener(t *testing.T) {
	r := newRig(t)
	_ = r.listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Serve(ctx, r.listener, func(conn.Conn) func() { return nil }, noShortage(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want net.ErrClosed", err)
	}
}
