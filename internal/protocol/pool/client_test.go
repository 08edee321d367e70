package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// rawRelay is a relay whose answers are the test's.
type rawRelay struct {
	*protocoltest.Relay
	through func(conn.Conn) conn.Conn // what relay clients have of their connections
	loop    *protocoltest.Loop        // of relay clients, or nil
}

func newRawRelay(t *testing.T) *rawRelay {
	t.Helper()
	return &rawRelay{Relay: protocoltest.NewRelay(t), through: func(conn conn.Conn) conn.Conn { return conn }}
}

// servings runs the test with each way to serve registrations.
func servings(t *testing.T, test func(t *testing.T, r *rawRelay)) {
	protocoltest.Servings(t, func(t *testing.T, loop *protocoltest.Loop) {
		r := newRawRelay(t)
		r.loop = loop
		test(t, r)
	})
}

// Dial is how relay clients connect.
func (r *rawRelay) Dial(ctx context.Context) (conn.Conn, error) {
	conn, err := r.Relay.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return r.through(conn), nil
}

// register registers a pool of this size, and returns the relay's end of its
// first connection. The relay sends payload in the same segment.
func (r *rawRelay) register(size int, payload string) (*protocoltest.Registration, conn.Conn) {
	r.Helper()
	type registered struct {
		registration *protocoltest.Registration
		err          error
	}
	done := make(chan registered, 1)
	go func() {
		registration, err := protocoltest.RegisterLoop(r.Context(), pool.Client{Size: size}, r.Dial, r.loop)
		done <- registered{registration, err}
	}()
	first := r.Next("pool\nnew\n")
	conntest.Write(r.T, first, "20001\nTHEPOOL\n"+payload)
	got := <-done
	if got.err != nil {
		r.Fatal(got.err)
	}
	r.Cleanup(func() { _ = got.registration.Close() })
	if port := got.registration.Answer().Port; port != 20001 {
		r.Errorf("Port() = %d, want 20001", port)
	}
	return got.registration, first
}

// A user may come so soon that its bytes arrive together with the reply.
func TestClientKeepsPayloadBehindTheReply(t *testing.T) {
	servings(t, testClientKeepsPayloadBehindTheReply)
}

func testClientKeepsPayloadBehindTheReply(t *testing.T, r *rawRelay) {
	registration, first := r.register(1, "new\nuser")
	conn := protocoltest.Accept(t, registration)
	conntest.WantRead(t, conn, "new\nuser")
	conntest.WantPair(t, first, conn)
}

// Whatever leaves the pool, by a user's byte or by an end, is replaced.
func TestClientFillsItsPool(t *testing.T) { servings(t, testClientFillsItsPool) }

func testClientFillsItsPool(t *testing.T, r *rawRelay) {
	registration, first := r.register(3, "")
	waiting := []conn.Conn{first, r.Next("pool\nTHEPOOL\n"), r.Next("pool\nTHEPOOL\n")}
	for range waiting {
		conn := protocoltest.Accept(t, registration)
		go func() { _, _ = conn.Read(make([]byte, 1)) }() // waits for its user
	}
	conntest.Write(t, waiting[1], "u")
	fourth := r.Next("pool\nTHEPOOL\n")
	if err := waiting[2].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.Next("pool\nTHEPOOL\n")
	conn := protocoltest.Accept(t, registration)
	conntest.Write(t, fourth, "u")
	conntest.Write(t, conn, "a banner")
}

func TestClientRefused(t *testing.T) {
	for reply, check := range map[string]func(error) bool{
		"-no-port nothing is free\n": func(err error) bool {
			var refusal *wire.Refusal
			return errors.As(err, &refusal) && *refusal == wire.Refusal{Code: "no-port", Text: "nothing is free"}
		},
		"HTTP/1.1 400 Bad Request\r\n": func(err error) bool { return strings.Contains(err.Error(), "not a relay") },
		"20001\n\n":                    func(err error) bool { return errors.Is(err, wire.ErrNoID) },
		"20001\n":                      func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) },
		"":                             func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
	} {
		t.Run(reply, func(t *testing.T) {
			r := newRawRelay(t)
			failed := make(chan error, 1)
			go func() {
				_, err := protocoltest.Register(t.Context(), pool.Client{Size: 2}, r.Dial)
				failed <- err
			}()
			conn := r.Next("pool\nnew\n")
			conntest.Write(t, conn, reply)
			_ = conn.CloseWrite() // it may have been given up already
			if err := <-failed; err == nil || !check(err) {
				t.Errorf("got %v", err)
			}
			conntest.WantReset(t, conn)
		})
	}
}

// The client gives up a relay that accepts the connection and sends nothing, after 10 s.
func TestClientGivesUpOnSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var far *conntest.MemoryConn
		dial := func(context.Context) (conn.Conn, error) {
			var near *conntest.MemoryConn
			near, far = conntest.Memory()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			return near, nil
		}
		since := time.Now()
		if _, err := protocoltest.Register(t.Context(), pool.Client{Size: 1}, dial); err == nil {
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
		_, err := protocoltest.Register(ctx, pool.Client{Size: 1}, r.Dial)
		failed <- err
	}()
	conn := r.Next("pool\nnew\n")
	cancel(protocoltest.ErrUserLeft)
	if err := <-failed; !errors.Is(err, protocoltest.ErrUserLeft) {
		t.Errorf("got %v, want the cause of the context", err)
	}
	conntest.WantReset(t, conn)
}

// A relay that was restarted resets every claim, which looks like an end behind a TCP
// proxy. The relay client has to find that out by itself.
func TestClientNoticesThatItsPoolIsUnknown(t *testing.T) {
	for name, refuse := range map[string]func(conn.Conn) error{
		"reset": conn.Conn.Reset, "end": conn.Conn.Close,
	} {
		t.Run(name, func(t *testing.T) { testPoolIsUnknown(t, refuse) })
	}
}

// The same where a reset has Winsock's number, and where TLS tells an end from one
// without a close_notify.
func TestClientNoticesByOtherErrorsThatItsPoolIsUnknown(t *testing.T) {
	winsock := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("wsarecv", syscall.Errno(10054))}
	for name, tt := range map[string]struct {
		refuse  func(conn.Conn) error
		was, is error
	}{
		"reset on Windows": {conn.Conn.Reset, syscall.ECONNRESET, winsock},
		"end within TLS":   {conn.Conn.Close, io.EOF, conn.ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRawRelay(t)
			r.through = func(conn conn.Conn) conn.Conn { return errorConn{conn, tt.was, tt.is} }
			testPoolIsUnknownTo(t, r, tt.refuse)
		})
	}
}

// errorConn is a connection that fails with another error than it does.
type errorConn struct {
	conn.Conn
	was, is error
}

func (c errorConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, c.was) {
		err = c.is
	}
	return n, err
}

func testPoolIsUnknown(t *testing.T, refuse func(conn.Conn) error) {
	servings(t, func(t *testing.T, r *rawRelay) { testPoolIsUnknownTo(t, r, refuse) })
}

func testPoolIsUnknownTo(t *testing.T, r *rawRelay, refuse func(conn.Conn) error) {
	registration, first := r.register(2, "")
	_ = refuse(first)
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
			conn, err := r.Listener.Accept()
			if err != nil {
				return
			}
			// Bytes that are left unread would make a reset of an end.
			_, _ = io.ReadFull(conn, make([]byte, len("pool\nTHEPOOL\n")))
			_ = refuse(conn)
		}
	}()
	if err := <-lost; errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want a reason", err)
	}
	_ = r.Listener.Close()
	<-refusing
}

// A relay that is full keeps some connections and ends the others at once. That is no
// reason to register anew.
func TestClientIsKeptInPart(t *testing.T) { servings(t, testClientIsKeptInPart) }

func testClientIsKeptInPart(t *testing.T, r *rawRelay) {
	const size, kept, ends = 32, 4, 60
	registration, _ := r.register(size, "")
	go func() {
		for conn, err := registration.Accept(); err == nil; conn, err = registration.Accept() {
			go func() { _, _ = conn.Read(make([]byte, 1)); _ = conn.Reset() }() // no user comes
		}
	}()
	for i := range kept + ends {
		conn := r.Next("pool\nTHEPOOL\n")
		if i >= kept {
			_ = conn.Close()
		}
	}
	select {
	case <-registration.Ended():
		t.Error("it takes the pool for lost")
	default:
	}
}

// Close takes the waiting connections back. Those with a user live on.
func TestClientClose(t *testing.T) { servings(t, testClientClose) }

func testClientClose(t *testing.T, r *rawRelay) {
	registration, first := r.register(2, "")
	second := r.Next("pool\nTHEPOOL\n")
	one, two := protocoltest.Accept(t, registration), protocoltest.Accept(t, registration)
	conntest.Write(t, second, "user")
	busy := make(chan conn.Conn, 2)
	for _, conn := range []conn.Conn{one, two} {
		go func() {
			b := make([]byte, len("user"))
			if _, err := io.ReadFull(conn, b); err == nil {
				busy <- conn
			}
		}()
	}
	served := <-busy
	third := r.Next("pool\nTHEPOOL\n") // in the place of the second
	for range 2 {
		if err := registration.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, conn := range []conn.Conn{first, third} {
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection still waits: %v", err)
		}
	}
	conntest.WantPair(t, second, served)
	if conn, err := registration.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close gives %v, %v", conn, err)
	}
}
