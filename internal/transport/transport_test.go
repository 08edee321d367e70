package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// patience bounds every wait that is over long before, unless the code is
// wrong.
const (
	patience = 10 * time.Second
	// grace is how long what must not happen is given to happen.
	grace = 30 * time.Millisecond
)

var background = context.Background()

// pair makes a connection between two kinds of peers.
func pair(
	t *testing.T, listen func(string) (*transport.Listener, error), dial func(context.Context, string) (conn.Conn, error),
) (accepted, dialed conn.Conn) {
	t.Helper()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialed, err = dial(t.Context(), l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []conn.Conn{accepted, dialed} {
		t.Cleanup(func() { _ = conn.Reset() })
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return accepted, dialed
}

// All that was written before Close arrives, also if its reader is late, and then the end.
func TestClose(t *testing.T) {
	conn, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		wrote <- errors.Join(err, conn.Close())
	}()
	if _, err := io.ReadFull(peer, make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, sent[16:]) {
		t.Errorf("got %d bytes, %v; want %d and the end", len(got), err, len(sent)-16)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

func TestCloseBeforeAnybodyReads(t *testing.T) {
	conn, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
	if _, err := io.WriteString(conn, "all that I wanted to say"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(peer); err != nil || string(got) != "all that I wanted to say" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCloseWrite(t *testing.T) {
	conn, peer := pair(t, transport.ListenUsers, transport.DialLocal)
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(peer); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v; want the end", got, err)
	}
	if _, err := io.WriteString(peer, "still here"); err != nil {
		t.Fatal(err)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "still here" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestReset(t *testing.T) {
	conn, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
	if err := conn.Reset(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) || len(got) > 0 {
		t.Errorf("got %q, %v (nil is EOF); want a reset", got, err)
	}
}

// A connection is ended once, in one way, whatever other calls try.
func TestEndedOnce(t *testing.T) {
	t.Run("Close first", func(t *testing.T) {
		conn, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, conn)
		if got, err := io.ReadAll(peer); err != nil || len(got) > 0 {
			t.Errorf("got %q, %v; want the end", got, err)
		}
	})
	t.Run("Reset first", func(t *testing.T) {
		conn, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
		if err := conn.Reset(); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, conn)
		if _, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want a reset", err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		conn, _ := pair(t, transport.ListenRelayClients, transport.DialRelay)
		results := make(chan error, 20)
		var running sync.WaitGroup
		for i := range cap(results) {
			end := conn.Close
			if i%2 == 0 {
				end = conn.Reset
			}
			running.Go(func() { results <- end() })
		}
		running.Wait()
		succeeded := 0
		for range cap(results) {
			if err := <-results; err == nil {
				succeeded++
			} else if !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want %v", err, net.ErrClosed)
			}
		}
		if succeeded != 1 {
			t.Errorf("%d callers were told that they had closed the connection", succeeded)
		}
	})
}

func wantClosed(t *testing.T, conn conn.Conn) {
	t.Helper()
	for name, err := range map[string]error{"Close": conn.Close(), "Reset": conn.Reset()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s of a closed connection gives %v, want %v", name, err, net.ErrClosed)
		}
	}
}

func TestListener(t *testing.T) {
	l, err := transport.ListenUsers("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := transport.ListenUsers(l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listening there again gives %v, %v; want %v", taken, err, syscall.EADDRINUSE)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept gives %v, want %v", err, net.ErrClosed)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("then Accept gives %v, want %v", err, net.ErrClosed)
	}
	if _, err := transport.DialLocal(t.Context(), l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting gives %v, want %v", err, syscall.ECONNREFUSED)
	}
}

func TestListenOnNonsense(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:65536", "127.0.0.1:port:port"} {
		if l, err := transport.ListenRelayClients(addr); err == nil {
			t.Errorf("listens on %q, as %v", addr, l.Addr())
			_ = l.Close()
		}
	}
}

func TestDialIsCancelled(t *testing.T) {
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if conn, err := transport.DialRelay(ctx, l.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("connected although the context is done")
	}
}

func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		l, err := transport.ListenUsers("127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer l.Close()
		dialed, err := transport.DialLocal(background, l.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		accepted, err := l.Accept()
		return accepted, dialed, func() { _ = dialed.Close(); _ = accepted.Close() }, err
	})
}
