package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
)

// scriptedLoop is a loop whose dials are the test's.
type scriptedLoop struct {
	protocol.Loop
	dial func() (conn.Conn, protocol.Dialer)
}

func (l *scriptedLoop) Post(f func()) { go f() }

func (l *scriptedLoop) Dial() (conn.Conn, protocol.Dialer) { return l.dial() }

// registerInMemory registers client with a relay that the test plays. Far is the relay's
// end of the first connection.
func registerInMemory(t *testing.T, client pool.Client) (registration protocol.Registration, far *conntest.MemoryConn) {
	t.Helper()
	near, far := conntest.Memory()
	go func() {
		_, _ = io.ReadFull(far, make([]byte, len("pool\nnew\n")))
		_, _ = io.WriteString(far, "20001\nTHEPOOL\n")
	}()
	dial := func(context.Context) (conn.Conn, error) { return near, nil }
	registration, err := client.Register(t.Context(), dial, protocol.Preamble{})
	if err != nil {
		t.Fatal(err)
	}
	return registration, far
}

// Only wait knows the sockets of a dial that the loop has begun. It has to be called even
// if the registration ends first, or they stay open.
func TestClientEndsWhileItsLoopDials(t *testing.T) {
	registration, far := registerInMemory(t, pool.Client{Size: 1})
	waited := false
	loop := &scriptedLoop{dial: func() (conn.Conn, protocol.Dialer) {
		_ = registration.Close()
		return nil, func(ctx context.Context) (conn.Conn, error) {
			waited = true
			return nil, context.Cause(ctx)
		}
	}}
	go conntest.Write(t, far, "u") // a connection in memory has no buffer
	err := registration.(protocol.LoopServer).ServeLoop(func(_ context.Context, c conn.Conn) {
		conntest.WantRead(t, c, "u")
		_ = c.Reset()
	}, loop)
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends with %v, want %v", err, net.ErrClosed)
	}
	if !waited {
		t.Error("wait was not called: what the dial has opened stays open")
	}
}
