package multiplex_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// rawRelay is a relay whose answers are the test's.
type rawRelay struct{ *protocoltest.Relay }

func newRawRelay(t *testing.T) *rawRelay {
	t.Helper()
	return &rawRelay{protocoltest.NewRelay(t)}
}

// registering registers with this relay, in the background.
func (r *rawRelay) registering(ctx context.Context) (relay yamuxPeer, done <-chan *protocoltest.Registration, failed <-chan error) {
	r.Helper()
	registered, err := make(chan *protocoltest.Registration, 1), make(chan error, 1)
	go func() {
		registration, e := protocoltest.Register(ctx, &multiplex.Client{}, r.Dial)
		if e != nil {
			err <- e
			return
		}
		registered <- registration
	}()
	conn := r.Next("multiplex\n")
	return yamuxPeer{r.T, conn}, registered, err
}

// register registers. The relay sends more in the same segment as the port.
func (r *rawRelay) register(more ...frame) (*protocoltest.Registration, yamuxPeer) {
	r.Helper()
	relay, done, failed := r.registering(r.Context())
	reply := []byte("20001\n")
	for _, f := range more {
		reply = append(reply, f.bytes()...)
	}
	conntest.Write(r.T, relay.conn, string(reply))
	select {
	case registration := <-done:
		r.Cleanup(func() {
			_ = relay.conn.Reset() // Close would wait for it
			_ = registration.Close()
		})
		if port := registration.Answer().Port; port != 20001 {
			r.Errorf("Port() = %d, want 20001", port)
		}
		return registration, relay
	case err := <-failed:
		r.Fatal(err)
		panic("unreachable")
	}
}

// A user may come so soon that its stream arrives together with the port.
func TestClientAccepts(t *testing.T) {
	r := newRawRelay(t)
	registration, relay := r.register(frame{kind: typeWindow, flags: flagSYN, stream: 1}, data(1, 0, "hi"), data(1, flagFIN, " you"))
	conn := protocoltest.Accept(t, registration)
	relay.wantFlag(1, flagACK)
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hi you" {
		t.Errorf("got %q, %v", got, err)
	}
	conntest.Write(t, conn, "hello")
	relay.want(data(1, 0, "hello"))
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	relay.wantFlag(1, flagFIN)
}

func TestClientRefused(t *testing.T) {
	for reply, check := range map[string]func(error) bool{
		"-no-port nothing is free\n": func(err error) bool {
			var refusal *wire.Refusal
			return errors.As(err, &refusal) && *refusal == wire.Refusal{Code: "no-port", Text: "nothing is free"}
		},
		"HTTP/1.1 400 Bad Request\r\n": func(err error) bool { return err != nil },
		"":                             func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
	} {
		t.Run(reply, func(t *testing.T) {
			relay, _, failed := newRawRelay(t).registering(t.Context())
			conntest.Write(t, relay.conn, reply)
			_ = relay.conn.CloseWrite() // it may have been given up already
			if err := <-failed; !check(err) {
				t.Errorf("got %v", err)
			}
			wantFailure(t, relay.conn)
		})
	}
}

func TestClientRegistrationIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	relay, _, failed := newRawRelay(t).registering(ctx)
	cancel(protocoltest.ErrUserLeft)
	if err := <-failed; !errors.Is(err, protocoltest.ErrUserLeft) {
		t.Errorf("got %v, want the cause of the context", err)
	}
	wantFailure(t, relay.conn)
}

// All users go down with the session, and none of them as though all had been
// said.
func TestClientLosesSession(t *testing.T) {
	for name, lose := range map[string]func(relay yamuxPeer){
		"end":     func(r yamuxPeer) { _ = r.conn.CloseWrite() },
		"reset":   func(r yamuxPeer) { _ = r.conn.Reset() },
		"garbage": func(r yamuxPeer) { conntest.Write(r.T, r.conn, "this is no frame at all") },
	} {
		t.Run(name, func(t *testing.T) {
			registration, relay := newRawRelay(t).register(frame{kind: typeWindow, flags: flagSYN, stream: 1})
			conn := protocoltest.Accept(t, registration)
			lose(relay)
			wantFailure(t, conn)
			if _, err := registration.Accept(); err == nil || errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept gives %v, want the reason", err)
			}
			_ = conn.Reset()
		})
	}
}

// The registration notices that while no caller accepts, too.
func TestClientLosesSessionWhileNobodyAccepts(t *testing.T) {
	registration, relay := newRawRelay(t).register(frame{kind: typeWindow, flags: flagSYN, stream: 1})
	relay.wantFlag(1, flagACK)
	_ = relay.conn.Reset()
	select {
	case <-registration.Ended():
	case <-time.After(patience):
		t.Fatal("the registration goes on")
	}
}

// Close announces that no more users are taken. The session ends with the last user
// whom there is.
func TestClientClose(t *testing.T) {
	registration, relay := newRawRelay(t).register(frame{kind: typeWindow, flags: flagSYN, stream: 1})
	conn := protocoltest.Accept(t, registration)
	relay.wantFlag(1, flagACK)
	for range 2 {
		if err := registration.Close(); err != nil {
			t.Error(err)
		}
	}
	relay.want(frame{kind: typeGoAway})
	if conn, err := registration.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close gives %v, %v", conn, err)
	}
	relay.send(frame{kind: typeWindow, flags: flagSYN, stream: 3})
	relay.wantFlag(3, flagRST)
	relay.send(data(1, flagFIN, "bye"))
	if got, err := io.ReadAll(conn); err != nil || string(got) != "bye" {
		t.Errorf("the user that was there said %q, %v", got, err)
	}
	conntest.Write(t, conn, "bye")
	relay.want(data(1, 0, "bye"))
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	relay.wantFlag(1, flagFIN)
	relay.wantEnd()
}

func TestClientCloseWithoutUsers(t *testing.T) {
	registration, relay := newRawRelay(t).register()
	closed := make(chan error, 1)
	go func() { closed <- registration.Close() }()
	relay.want(frame{kind: typeGoAway})
	relay.wantEnd()
	_ = relay.conn.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
