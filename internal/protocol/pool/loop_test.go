package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
)

// scriptedLoop is a loop whose dials and Acceptor are the test's. It outlives a panic, as
// the loops of package join do.
type scriptedLoop struct {
	protocol.Loop
	dial      func() (conn.Conn, protocol.Dialer)
	tryAccept func(conn.Conn) bool
}

func (l *scriptedLoop) Post(f func()) { go panics(f) }

func (l *scriptedLoop) Dial() (conn.Conn, protocol.Dialer) { return l.dial() }

func (l *scriptedLoop) TryAccept(_ context.Context, c conn.Conn) bool { return l.tryAccept(c) }

// panics calls f, and reports whether it panics.
func panics(f func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	f()
	return
}

// memoryRelay is a relay that the test plays, with connections in memory.
type memoryRelay struct {
	*testing.T
	dialed       chan *conntest.MemoryConn // the relay's ends
	registration protocol.Registration
	accepted     chan conn.Conn
	served       chan error // what ServeLoop returns
}

// registerInMemory registers a client, and returns the relay's end of its first connection.
func registerInMemory(t *testing.T, client pool.Client) (r *memoryRelay, first *conntest.MemoryConn) {
	t.Helper()
	r = &memoryRelay{
		T: t, dialed: make(chan *conntest.MemoryConn, 9),
		accepted: make(chan conn.Conn, 9), served: make(chan error, 1),
	}
	answered := make(chan *conntest.MemoryConn, 1)
	go func() {
		first := <-r.dialed
		_, _ = io.ReadFull(first, make([]byte, len("pool\nnew\n")))
		_, _ = io.WriteString(first, "20001\nTHEPOOL\n")
		answered <- first
	}()
	registration, err := client.Register(t.Context(), func(context.Context) (conn.Conn, error) { return r.connect(), nil }, protocol.Preamble{})
	if err != nil {
		t.Fatal(err)
	}
	r.registration = registration
	return r, <-answered
}

func (r *memoryRelay) connect() conn.Conn {
	near, far := conntest.Memory()
	r.dialed <- far
	return near
}

// serve has the registration served on the loop, or without one if it is nil.
func (r *memoryRelay) serve(loop protocol.Loop) {
	go func() {
		r.served <- r.registration.(protocol.LoopServer).ServeLoop(func(_ context.Context, c conn.Conn) { r.accepted <- c }, loop)
	}()
}

// useFirst has a user come and go on the first connection. A loop that is there fills the
// slot then.
func (r *memoryRelay) useFirst(first *conntest.MemoryConn) {
	r.Helper()
	go conntest.Write(r.T, first, "u") // a connection in memory has no buffer
	c := <-r.accepted
	conntest.WantRead(r.T, c, "u")
	_ = c.Reset()
}

// next returns the relay's end of the next connection that waits in the pool. The Acceptor
// has returned.
func (r *memoryRelay) next() *conntest.MemoryConn {
	r.Helper()
	far := <-r.dialed
	conntest.WantRead(r.T, far, "pool\nTHEPOOL\n")
	<-r.accepted
	synctest.Wait()
	return far
}

// end ends the registration, while a connection waits whose relay's end is far.
func (r *memoryRelay) end(far *conntest.MemoryConn) {
	r.Helper()
	_ = r.registration.Close()
	if err := <-r.served; !errors.Is(err, net.ErrClosed) {
		r.Errorf("it ends with %v, want %v", err, net.ErrClosed)
	}
	conntest.WantReset(r.T, far)
}

// Only wait knows the sockets of a dial that the loop has begun. It has to be called even
// if the registration ends first, or they stay open.
func TestClientEndsWhileItsLoopDials(t *testing.T) {
	r, first := registerInMemory(t, pool.Client{Size: 1})
	waited := false
	r.serve(&scriptedLoop{dial: func() (conn.Conn, protocol.Dialer) {
		_ = r.registration.Close()
		return nil, func(ctx context.Context) (conn.Conn, error) {
			waited = true
			return nil, context.Cause(ctx)
		}
	}})
	r.useFirst(first)
	if err := <-r.served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends with %v, want %v", err, net.ErrClosed)
	}
	if !waited {
		t.Error("wait was not called: what the dial has opened stays open")
	}
}

// A panic where a failure is reported ends up in the code that reads the connection, which
// outlives it. The slot is filled again, and the pool ends as ever.
func TestClientOutlivesPanicOfOnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, first := registerInMemory(t, pool.Client{Size: 1, OnFailure: func(error) { panic("injected") }})
		r.serve(nil)
		c := <-r.accepted
		synctest.Wait() // the Acceptor has returned
		_ = first.Reset()
		if !panics(func() { _, _ = c.Read(make([]byte, 1)) }) {
			t.Fatal("the failure is not reported")
		}
		_ = c.Reset()
		r.end(r.next())
	})
}

// The same for a panic in what the loop does to fill a slot.
func TestClientOutlivesPanicOfLoop(t *testing.T) {
	t.Run("dial", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, first := registerInMemory(t, pool.Client{Size: 1})
			r.serve(&scriptedLoop{dial: func() (conn.Conn, protocol.Dialer) { panic("injected") }})
			r.useFirst(first)
			r.end(r.next())
		})
	})
	t.Run("accept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, first := registerInMemory(t, pool.Client{Size: 1})
			r.serve(&scriptedLoop{
				dial:      func() (conn.Conn, protocol.Dialer) { return r.connect(), nil },
				tryAccept: func(conn.Conn) bool { panic("injected") },
			})
			r.useFirst(first)
			lost := <-r.dialed
			conntest.WantRead(t, lost, "pool\nTHEPOOL\n")
			conntest.WantReset(t, lost)
			r.end(r.next())
		})
	})
}
