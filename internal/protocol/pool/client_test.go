package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// rawRelay is where relay clients connect to. The tests say what it answers.
type rawRelay struct {
	*testing.T
	listener *transport.Listener
}

func newRawRelay(t *testing.T) *rawRelay {
	t.Helper()
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &rawRelay{t, l}
}

func (r *rawRelay) dial(ctx context.Context) (join.Conn, error) {
	return transport.DialRelay(ctx, r.listener.Addr().String())
}

// next gives the next connection, which has to begin with these lines.
func (r *rawRelay) next(lines string) join.Conn {
	r.Helper()
	conn, err := r.listener.Accept()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = conn.Reset() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		r.Fatal(err)
	}
	if got := string(read(r.T, conn, len(lines))); got != lines {
		r.Fatalf("a connection begins with %q, want %q", got, lines)
	}
	return conn
}

// register registers a pool of this size, and gives the relay's end of its
// first connection. The relay sends payload in the same segment.
func (r *rawRelay) register(size int, payload string) (protocol.Registration, join.Conn) {
	r.Helper()
	type registered struct {
		registration protocol.Registration
		err          error
	}
	done := make(chan registered, 1)
	go func() {
		registration, err := pool.Client{Size: size}.Register(r.Context(), r.dial)
		done <- registered{registration, err}
	}()
	first := r.next("pool\nnew\n")
	write(r.T, first, "20001\nTHEPOOL\n"+payload)
	got := <-done
	if got.err != nil {
		r.Fatal(got.err)
	}
	r.Cleanup(func() { _ = got.registration.Close() })
	if port := got.registration.Port(); port != 20001 {
		r.Errorf("Port() = %d, want 20001", port)
	}
	return got.registration, first
}

func accept(t *testing.T, registration protocol.Registration) join.Conn {
	t.Helper()
	conn, err := registration.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Reset() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A user may come so soon that its bytes arrive together with the reply.
func TestClientKeepsPayloadBehindTheReply(t *testing.T) {
	r := newRawRelay(t)
	registration, first := r.register(1, "new\nuser")
	conn := accept(t, registration)
	if got := read(t, conn, len("new\nuser")); string(got) != "new\nuser" {
		t.Errorf("got %q", got)
	}
	wantPair(t, first, conn)
}

// Whatever leaves the pool, by a user's byte or by an end, is replaced.
func TestClientFillsItsPool(t *testing.T) {
	r := newRawRelay(t)
	registration, first := r.register(3, "")
	waiting := []join.Conn{first, r.next("pool\nTHEPOOL\n"), r.next("pool\nTHEPOOL\n")}
	for range waiting {
		conn := accept(t, registration)
		go func() { _, _ = conn.Read(make([]byte, 1)) }() // waits for its user
	}
	write(t, waiting[1], "u")
	fourth := r.next("pool\nTHEPOOL\n")
	if err := waiting[2].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.next("pool\nTHEPOOL\n")
	conn := accept(t, registration)
	write(t, fourth, "u")
	write(t, conn, "a banner")
}

func TestClientRefused(t *testing.T) {
	for reply, check := range map[string]func(error) bool{
		"-no-port nothing is free\n": func(err error) bool {
			var refusal *wire.Refusal
			return errors.As(err, &refusal) && *refusal == wire.Refusal{Code: "no-port", Text: "nothing is free"}
		},
		"HTTP/1.1 400 Bad Request\r\n": func(err error) bool { return strings.Contains(err.Error(), "no relay") },
		"20001\n\n":                    func(err error) bool { return errors.Is(err, wire.ErrNoID) },
		"20001\n":                      func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) },
		"":                             func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
	} {
		t.Run(reply, func(t *testing.T) {
			r := newRawRelay(t)
			failed := make(chan error, 1)
			go func() {
				_, err := pool.Client{Size: 2}.Register(t.Context(), r.dial)
				failed <- err
			}()
			conn := r.next("pool\nnew\n")
			write(t, conn, reply)
			_ = conn.CloseWrite() // it may have been given up already
			if err := <-failed; err == nil || !check(err) {
				t.Errorf("got %v", err)
			}
			wantReset(t, conn)
		})
	}
}

// A relay that accepts the connection and says nothing is given up after 10 s.
func TestClientGivesUpOnSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var far *conntest.MemoryConn
		dial := func(context.Context) (join.Conn, error) {
			var near *conntest.MemoryConn
			near, far = conntest.Memory()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			return near, nil
		}
		since := time.Now()
		if _, err := (pool.Client{Size: 1}).Register(t.Context(), dial); err == nil {
			t.Error("registered with a relay that says nothing")
		}
		if took := time.Since(since); took != 10*time.Second {
			t.Errorf("gave up after %v", took)
		}
		_ = far.Close()
	})
}

func TestClientRegistrationIsCancelled(t *testing.T) {
	r := newRawRelay(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := pool.Client{Size: 1}.Register(ctx, r.dial)
		failed <- err
	}()
	conn := r.next("pool\nnew\n")
	cancel(errUserLeft)
	if err := <-failed; !errors.Is(err, errUserLeft) {
		t.Errorf("got %v, want the cause of the context", err)
	}
	wantReset(t, conn)
}

// A relay that was restarted resets every claim. The relay client has to
// notice, because nobody tells it.
func TestClientNoticesThatItsPoolIsUnknown(t *testing.T) {
	r := newRawRelay(t)
	registration, first := r.register(2, "")
	_ = first.Reset()
	lost := make(chan error, 1)
	go func() {
		for {
			conn, err := registration.Accept()
			if err != nil {
				lost <- err
				return
			}
			_, _ = conn.Read(make([]byte, 1)) // waits for its user
			_ = conn.Reset()
		}
	}()
	refusing := make(chan struct{})
	go func() {
		defer close(refusing)
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Reset()
		}
	}()
	if err := <-lost; errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want a reason", err)
	}
	_ = r.listener.Close()
	<-refusing
}

// Close takes the waiting connections back. Those with a user live on.
func TestClientClose(t *testing.T) {
	r := newRawRelay(t)
	registration, first := r.register(2, "")
	second := r.next("pool\nTHEPOOL\n")
	one, two := accept(t, registration), accept(t, registration)
	write(t, second, "user")
	busy := make(chan join.Conn, 2)
	for _, conn := range []join.Conn{one, two} {
		go func() {
			b := make([]byte, len("user"))
			if _, err := io.ReadFull(conn, b); err == nil {
				busy <- conn
			}
		}()
	}
	served := <-busy
	third := r.next("pool\nTHEPOOL\n") // in the place of the second
	for range 2 {
		if err := registration.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, conn := range []join.Conn{first, third} {
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection still waits: %v", err)
		}
	}
	wantPair(t, second, served)
	if conn, err := registration.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close gives %v, %v", conn, err)
	}
}
