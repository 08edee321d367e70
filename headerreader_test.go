package relay_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/transport"
)

// someUser and somewhere are the addresses in the headers of tests.
var (
	someUser  = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 56068}
	somewhere = &net.TCPAddr{IP: net.IPv4(198, 51, 100, 2), Port: 443}
)

func headerOf(t *testing.T, user, public net.Addr) []byte {
	t.Helper()
	header, err := proxyproto.Header(2, user, public)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

// introducer hands the connections that it accepts to conns.
type introducer struct {
	accept func(context.Context, conn.Conn)
	came   chan struct{} // has one for each connection that offer was called with
	conns  chan conn.Conn
	ctx    context.Context // of the registration
	end    context.CancelFunc
	log    *logger
	pair   func(testing.TB) (near conn.Conn, far *transport.Conn)
}

func newIntroducer(t *testing.T, kind kind) *introducer {
	i := &introducer{came: make(chan struct{}, 1000), conns: make(chan conn.Conn), log: newLogger(""), pair: kind.pair}
	i.ctx, i.end = context.WithCancel(context.Background())
	accept, wait := relay.NewHeaderReader(i.offer, kind.watch, slog.New(i.log))
	i.accept = accept
	t.Cleanup(func() { i.end(); wait() })
	return i
}

// kind is a kind of connection.
type kind struct {
	pair  func(testing.TB) (near conn.Conn, far *transport.Conn)
	watch func(conn.Conn, func()) (stop func()) // or nil
}

// bothKinds runs a test with connections that can be watched, and with others.
func bothKinds(t *testing.T, test func(*testing.T, kind)) {
	t.Run("watched", func(t *testing.T) {
		engine, err := join.NewEngine()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(engine.Close)
		test(t, kind{sockets, engine.NewSet(nil).WhenReadable})
	})
	t.Run("waited for", func(t *testing.T) { test(t, waitedFor) })
}

var waitedFor = kind{pair: func(tb testing.TB) (conn.Conn, *transport.Conn) { return conntest.Pair(tb) }}

// sockets makes a connection that is accepted as a relay does.
func sockets(tb testing.TB) (near conn.Conn, far *transport.Conn) {
	tb.Helper()
	l, err := transport.ListenUsers("127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		tb.Fatal(err)
	}
	far = transport.NewConn(dialed.(*net.TCPConn))
	tb.Cleanup(func() { _ = near.Reset(); _ = far.Reset() })
	return near, far
}

func (i *introducer) offer(ctx context.Context, conn conn.Conn) {
	i.came <- struct{}{}
	select {
	case i.conns <- conn:
	case <-ctx.Done():
		_ = conn.Reset()
	}
}

func (i *introducer) next(t *testing.T) conn.Conn {
	t.Helper()
	select {
	case conn := <-i.conns:
		return conn
	case <-time.After(patience):
		t.Fatal("no connection was handed on")
		return nil
	}
}

func (i *introducer) logged() int {
	i.log.mu.Lock()
	defer i.log.mu.Unlock()
	return len(i.log.records)
}

// accepted makes a connection, and has the header read at the near end.
func (i *introducer) accepted(t *testing.T) (far *transport.Conn) {
	t.Helper()
	near, far := i.pair(t)
	_ = far.SetDeadline(time.Now().Add(patience))
	i.accept(i.ctx, near)
	return far
}

func TestUserAddr(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind kind) {
		i := newIntroducer(t, kind)
		far := i.accepted(t)
		if _, err := far.Write(append(headerOf(t, someUser, somewhere), "hello"...)); err != nil {
			t.Fatal(err)
		}
		_ = far.CloseWrite()
		conn := i.next(t)
		if conn.RemoteAddr().String() != someUser.String() || conn.LocalAddr().String() != somewhere.String() {
			t.Errorf("the addresses are %v, %v", conn.RemoteAddr(), conn.LocalAddr())
		}
		if b, err := io.ReadAll(conn); string(b) != "hello" || err != nil {
			t.Errorf("then %q came, %v", b, err)
		}
		if i.logged() > 0 {
			t.Error("something was logged")
		}
	})
}

// A header may say that the relay does not know the user's address.
func TestUserAddrUnknown(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind kind) {
		i := newIntroducer(t, kind)
		far := i.accepted(t)
		if _, err := far.Write(headerOf(t, nil, nil)); err != nil {
			t.Fatal(err)
		}
		conn := i.next(t)
		if conn.RemoteAddr().String() != far.LocalAddr().String() {
			t.Errorf("the user's address is %v, want the connection's own, %v", conn.RemoteAddr(), far.LocalAddr())
		}
	})
}

// A connection without a valid header is reset. That is logged once, and not for connections
// that end without a byte.
func TestUserAddrRefused(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind kind) {
		i := newIntroducer(t, kind)
		for range 3 {
			far := i.accepted(t)
			_ = far.Reset()
		}
		for _, in := range []string{"GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"} {
			far := i.accepted(t)
			if _, err := io.WriteString(far, in); err != nil {
				t.Fatal(err)
			}
			conntest.WantReset(t, far)
		}
		if n := i.logged(); n != 1 {
			t.Errorf("%d lines were logged, want 1", n)
		}
	})
}

// A header may take for ever while no user comes, and 10 seconds once its first byte has
// come. The user's bytes may take for ever.
func TestUserAddrTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIntroducer(t, waitedFor)
		header := headerOf(t, someUser, somewhere)
		near, far := conntest.Memory()
		i.accept(i.ctx, near)
		<-time.After(time.Hour)
		_, _ = far.Write(header[:1])
		<-time.After(9 * time.Second)
		_, _ = far.Write(header[1:])
		conn := i.next(t)
		go func() {
			<-time.After(time.Hour)
			_, _ = far.Write([]byte("hello"))
			_ = far.CloseWrite()
		}()
		if b, err := io.ReadAll(conn); string(b) != "hello" || err != nil {
			t.Errorf("then %q came, %v", b, err)
		}
		_ = conn.Close()

		near, far = conntest.Memory()
		i.accept(i.ctx, near)
		start := time.Now()
		_, _ = far.Write(header[:1])
		for begun := true; begun; { // and never ends
			<-time.After(3 * time.Second)
			_, err := far.Write(header[1:2])
			begun = err == nil
		}
		if took := time.Since(start); took > 12*time.Second {
			t.Errorf("it was reset after %v", took)
		}
		if i.logged() != 1 {
			t.Error("nothing was logged")
		}
	})
}

// The end of the registration ends the wait for users, and for Accept.
func TestUserAddrEndsWithRegistration(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind kind) {
		i := newIntroducer(t, kind)
		waiting, begun, unaccepted := i.accepted(t), i.accepted(t), i.accepted(t)
		if _, err := begun.Write([]byte("\r")); err != nil {
			t.Fatal(err)
		}
		if _, err := unaccepted.Write(headerOf(t, someUser, somewhere)); err != nil {
			t.Fatal(err)
		}
		i.end()
		for _, far := range []net.Conn{waiting, begun, unaccepted} {
			conntest.WantReset(t, far)
		}
		conntest.WantReset(t, i.accepted(t))
		if i.logged() > 0 {
			t.Error("something was logged")
		}
	})
}

// While nobody accepts, the protocol waits for a while, and so does its relay.
func TestUserAddrBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIntroducer(t, waitedFor)
		var taken atomic.Int64
		go func() {
			for range relay.MaxPending + 10 {
				near, far := conntest.Memory()
				i.accept(i.ctx, near)
				taken.Add(1)
				go func() { _, _ = far.Write(headerOf(t, someUser, somewhere)) }()
			}
		}()
		synctest.Wait()
		if n := taken.Load(); n != relay.MaxPending {
			t.Errorf("%d connections wait to be accepted, want %d", n, relay.MaxPending)
		}
		_ = i.next(t).Close()
		synctest.Wait()
		if n := taken.Load(); n != relay.MaxPending+1 {
			t.Errorf("%d connections were taken after one was accepted", n)
		}
		<-time.After(10 * time.Second) // by then there may be another relay
		synctest.Wait()
		if n := taken.Load(); n != relay.MaxPending+2 {
			t.Errorf("%d connections were taken or reset in the end", n)
		}
		i.end()
	})
}

// A panic ends the connection in whose code it happens.
func TestUserAddrGoesOnAfterAPanic(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind kind) {
		log := newLogger("")
		accept, wait := relay.NewHeaderReader(func(context.Context, conn.Conn) { panic("at a user") }, kind.watch, slog.New(log))
		t.Cleanup(wait)
		for range 2 {
			near, far := kind.pair(t)
			_ = far.SetDeadline(time.Now().Add(patience))
			accept(t.Context(), near)
			if _, err := far.Write(headerOf(t, someUser, somewhere)); err != nil {
				t.Fatal(err)
			}
			conntest.WantReset(t, far)
		}
		wait()
		log.mu.Lock()
		defer log.mu.Unlock()
		if n := len(log.errors()); n != 2 {
			t.Errorf("%d panics were logged, want 2", n)
		}
	})
}

// A header may come in pieces, and the user's bytes with the last one.
func TestUserAddrInPieces(t *testing.T) {
	bothKinds(t, func(t *testing.T, kind kind) {
		i := newIntroducer(t, kind)
		header := headerOf(t, someUser, somewhere)
		for _, cut := range []int{1, 15, 16, 17, len(header) - 1, len(header)} {
			far := i.accepted(t)
			for _, piece := range [][]byte{header[:cut], append(header[cut:len(header):len(header)], "hello"...)} {
				if _, err := far.Write(piece); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Millisecond) // most often they come one by one
			}
			_ = far.CloseWrite()
			conn := i.next(t)
			if conn.RemoteAddr().String() != someUser.String() {
				t.Errorf("cut at %d: the user is %v", cut, conn.RemoteAddr())
			}
			if b, err := io.ReadAll(conn); string(b) != "hello" || err != nil {
				t.Errorf("cut at %d: then %q came, %v", cut, b, err)
			}
			_ = conn.Close()
		}
	})
}

// The local server gets the addresses of the relay's header, in its own version.
func TestLocalHeader(t *testing.T) {
	near, _ := conntest.Pair(t)
	known := proxyproto.NewConn(near, someUser, somewhere)
	for _, tt := range []struct {
		version int
		conn    conn.Conn
		want    string
	}{
		{0, known, ""},
		{0, near, ""},
		{1, known, "PROXY TCP4 192.0.2.1 198.51.100.2 56068 443\r\n"},
		{1, near, "PROXY UNKNOWN\r\n"},
		{2, known, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdb\x04\x01\xbb"},
		{2, near, "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"},
	} {
		if got, err := relay.LocalHeader(tt.version, tt.conn); string(got) != tt.want || err != nil {
			t.Errorf("version %d is %q, %v, want %q", tt.version, got, err, tt.want)
		}
	}
	if got, err := relay.LocalHeader(3, known); err == nil {
		t.Errorf("version 3 is %q", got)
	}
}
