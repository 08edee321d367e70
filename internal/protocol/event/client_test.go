package event_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// rawRelay is a relay whose answers are the test's.
type rawRelay struct {
	*protocoltest.Relay
	loop *protocoltest.Loop // of relay clients, or nil
}

func newRawRelay(t *testing.T) *rawRelay {
	t.Helper()
	return &rawRelay{Relay: protocoltest.NewRelay(t)}
}

// servings runs the test with each way to serve registrations.
func servings(t *testing.T, test func(t *testing.T, r *rawRelay)) {
	protocoltest.Servings(t, func(t *testing.T, loop *protocoltest.Loop) {
		r := newRawRelay(t)
		r.loop = loop
		test(t, r)
	})
}

// registering registers with this relay in the background.
func (r *rawRelay) registering(ctx context.Context) (<-chan *protocoltest.Registration, <-chan error) {
	done, failed := make(chan *protocoltest.Registration, 1), make(chan error, 1)
	go func() {
		registration, err := protocoltest.RegisterLoop(ctx, &event.Client{}, r.Dial, r.loop)
		if err != nil {
			failed <- err
			return
		}
		done <- registration
	}()
	return done, failed
}

// register registers, and returns the relay's end of the control connection. The
// relay sends more in the same segment.
func (r *rawRelay) register(more string) (*protocoltest.Registration, conn.Conn) {
	r.Helper()
	done, failed := r.registering(r.Context())
	control := r.Next("event\nnew\n")
	conntest.Write(r.T, control, "20001\n"+more)
	select {
	case registration := <-done:
		r.Cleanup(func() { _ = registration.Close() })
		if port := registration.Answer().Port; port != 20001 {
			r.Errorf("Port() = %d, want 20001", port)
		}
		return registration, control
	case err := <-failed:
		r.Fatal(err)
		panic("unreachable")
	}
}

// Ids may come together with the port, with each other, or in pieces.
func TestClientClaims(t *testing.T) { servings(t, testClientClaims) }

func testClientClaims(t *testing.T, r *rawRelay) {
	registration, control := r.register("FIRST\nSECOND\nTHI")
	for _, rest := range []string{"", "", "RD\n"} {
		conntest.Write(t, control, rest)
	}
	relayEnds := make(map[string]conn.Conn)
	for range 3 {
		conn := r.Next("event\n")
		id, err := wire.ReadID(wire.NewReader(conn))
		if err != nil {
			t.Fatal(err)
		}
		relayEnds[id] = conn
		conntest.Write(t, conn, id[:1])
	}
	// They may be dialed side by side, and accepted in any order.
	ids := map[string]string{"F": "FIRST", "S": "SECOND", "T": "THIRD"}
	for range 3 {
		accepted := protocoltest.Accept(t, registration)
		letter := string(conntest.Read(t, accepted, 1))
		conn := relayEnds[ids[letter]]
		if conn == nil {
			t.Fatalf("accepted %q; claimed were %v", letter, relayEnds)
		}
		delete(relayEnds, ids[letter])
		conntest.WantPair(t, conn, accepted)
	}
}

func TestClientRefused(t *testing.T) {
	r := newRawRelay(t)
	_, failed := r.registering(t.Context())
	control := r.Next("event\nnew\n")
	conntest.Write(t, control, "-draining come back soon\n")
	var refusal *wire.Refusal
	if err := <-failed; !errors.As(err, &refusal) || *refusal != (wire.Refusal{Code: "draining", Text: "come back soon"}) {
		t.Errorf("got %v", err)
	}
	conntest.WantReset(t, control)
}

func TestClientRegistrationIsCancelled(t *testing.T) {
	r := newRawRelay(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	_, failed := r.registering(ctx)
	control := r.Next("event\nnew\n")
	cancel(protocoltest.ErrUserLeft)
	if err := <-failed; !errors.Is(err, protocoltest.ErrUserLeft) {
		t.Errorf("got %v, want the cause of the context", err)
	}
	conntest.WantReset(t, control)
}

// The loss of the control connection ends the registration, and so does a line on it that
// is no id. Connections that were accepted live on.
func TestClientLosesControlConnection(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, control conn.Conn){
		"end":           func(_ *testing.T, control conn.Conn) { _ = control.CloseWrite() },
		"reset":         func(_ *testing.T, control conn.Conn) { _ = control.Reset() },
		"an empty line": func(t *testing.T, control conn.Conn) { conntest.Write(t, control, "\n") },
		"no id":         func(t *testing.T, control conn.Conn) { conntest.Write(t, control, "an id\n") },
		"half an id":    func(t *testing.T, control conn.Conn) { conntest.Write(t, control, "HALF"); _ = control.CloseWrite() },
	} {
		test := func(t *testing.T, r *rawRelay) {
			registration, control := r.register("USER\n")
			conn := r.Next("event\nUSER\n")
			accepted := protocoltest.Accept(t, registration)
			lose(t, control)
			if _, err := registration.Accept(); err == nil || errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept gives %v, want the reason", err)
			}
			if _, err := io.ReadAll(control); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Errorf("the control connection was left with %v, want an end", err)
			}
			conntest.WantPair(t, conn, accepted)
		}
		t.Run(name, func(t *testing.T) { servings(t, test) })
	}
}

func TestClientClose(t *testing.T) { servings(t, testClientClose) }

func testClientClose(t *testing.T, r *rawRelay) {
	registration, control := r.register("USER\nLATER\n")
	one, other := r.Next("event\n"), r.Next("event\n")
	accepted := protocoltest.Accept(t, registration)
	for range 2 {
		if err := registration.Close(); err != nil {
			t.Error(err)
		}
	}
	if more, err := io.ReadAll(control); err != nil || len(more) > 0 {
		t.Errorf("the control connection gives %q, %v; want its end", more, err)
	}
	if conn, err := registration.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close gives %v, %v", conn, err)
	}
	// Either may have been accepted. It lives on, and the other one is not left
	// waiting.
	conntest.Write(t, accepted, "x")
	got := make(chan string, 2)
	for _, conn := range []conn.Conn{one, other} {
		go func() {
			b, err := io.ReadAll(conn)
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("a connection ended with %v, want a reset", err)
			}
			got <- string(b)
		}()
	}
	first := <-got
	if first == "USER\n" || first == "LATER\n" {
		_ = accepted.Reset()
	}
	if second := <-got; strings.Count(first+second, "x") != 1 {
		t.Errorf("the connections got %q and %q; want the x on one of them", first, second)
	}
}

// If the connection for an id cannot be made the relay gives it up; the registration goes
// on.
func TestClientCannotDial(t *testing.T) { servings(t, testClientCannotDial) }

func testClientCannotDial(t *testing.T, r *rawRelay) {
	var broken atomic.Bool
	tried := make(chan struct{}, 1)
	done := make(chan *protocoltest.Registration, 1)
	go func() {
		registration, err := protocoltest.RegisterLoop(t.Context(), &event.Client{}, func(ctx context.Context) (conn.Conn, error) {
			if broken.Load() {
				tried <- struct{}{}
				return nil, errors.New("no route")
			}
			return r.Dial(ctx)
		}, r.loop)
		if err != nil {
			t.Error(err)
		}
		done <- registration
	}()
	control := r.Next("event\nnew\n")
	conntest.Write(t, control, "20001\n")
	registration := <-done
	defer registration.Close()
	broken.Store(true)
	conntest.Write(t, control, "FAILS\n")
	<-tried
	broken.Store(false)
	conntest.Write(t, control, "WORKS\n")
	conntest.WantPair(t, r.Next("event\nWORKS\n"), protocoltest.Accept(t, registration))
}

// While as many claims wait as a relay lets users wait, no further id is claimed. All are
// in the end.
func TestClientBoundsClaims(t *testing.T) {
	const most, ids = 128, 140
	for name, loop := range map[string]*protocoltest.Loop{"goroutines": nil, "loop": protocoltest.WaitingLoop(t)} {
		t.Run(name, func(t *testing.T) {
			r := newRawRelay(t)
			r.loop = loop
			dials, goOn := make(chan struct{}, ids), make(chan struct{})
			var registered atomic.Bool
			var waiting atomic.Int64
			registration, control := r.registerWith(&event.Client{}, func(ctx context.Context) (conn.Conn, error) {
				if registered.Load() {
					if n := waiting.Add(1); n > most {
						t.Errorf("%d claims wait", n)
					}
					dials <- struct{}{}
					<-goOn
					waiting.Add(-1)
				}
				return r.Dial(ctx)
			})
			registered.Store(true)
			conntest.Write(t, control, strings.Repeat("USER\n", ids))
			for range most {
				<-dials
			}
			close(goOn)
			for range ids {
				r.Next("event\nUSER\n")
				protocoltest.Accept(t, registration)
			}
		})
	}
}
