package transport_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// bothWays runs a test with the relay's end of a connection and with the client's.
func bothWays(t *testing.T, test func(t *testing.T, conn, peer *transport.TLSConn)) {
	t.Helper()
	t.Run("the relay's end", func(t *testing.T) {
		relay, client := tlsPair(t)
		test(t, relay, client)
	})
	t.Run("the client's end", func(t *testing.T) {
		relay, client := tlsPair(t)
		test(t, client, relay)
	})
}

func TestTLSIsNew(t *testing.T) {
	bothWays(t, func(t *testing.T, conn, _ *transport.TLSConn) {
		if got := conn.ConnectionState().Version; got != tls.VersionTLS13 {
			t.Errorf("speaks %s", tls.VersionName(got))
		}
	})
}

// A caller that finds the socket below would take its bytes for the connection's.
func TestTLSHidesItsSocket(t *testing.T) {
	_, client := tlsPair(t)
	var shows any = client
	for name, shown := range map[string]bool{
		"TCP":         is[conn.Socket](shows),
		"Detach":      is[conn.Detachable](shows),
		"Innermost":   conn.Innermost(client) != conn.Conn(client),
		"SyscallConn": is[syscall.Conn](shows),
		"Control":     is[interface{ Control(func(uintptr)) error }](shows),
		"NetConn":     is[interface{ NetConn() net.Conn }](shows),
		"ReadFrom":    is[io.ReaderFrom](shows),
		"WriteTo":     is[io.WriterTo](shows),
	} {
		if shown {
			t.Errorf("it has %s", name)
		}
	}
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// All that was written before Close arrives, also if its reader is late, and then the end.
func TestTLSClose(t *testing.T) {
	bothWays(t, func(t *testing.T, conn, peer *transport.TLSConn) {
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
		wantClosed(t, conn)
	})
}

// One direction ends, and the other one goes on.
func TestTLSHalfClose(t *testing.T) {
	bothWays(t, func(t *testing.T, conn, peer *transport.TLSConn) {
		if _, err := io.WriteString(conn, "that is all"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(peer); err != nil || string(got) != "that is all" {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := conn.Write([]byte("more")); err == nil {
			t.Error("can write after CloseWrite")
		}
		for _, part := range []string{"still ", "here"} {
			if _, err := io.WriteString(peer, part); err != nil {
				t.Fatal(err)
			}
		}
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != "still here" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// full has conn write more than the kernels take, of which the peer reads one byte, and
// returns what becomes of the write.
func full(t *testing.T, conn, peer conn.Conn) (wrote chan error) {
	t.Helper()
	wrote = make(chan error, 1)
	go func() {
		_, err := conn.Write(make([]byte, muchMore))
		wrote <- err
	}()
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return wrote
}

// muchMore is more than buffers of the kernel grow to.
const muchMore = 64 << 20

// CloseWrite waits for a slow reader as Write does, and cuts nothing off.
func TestTLSHalfCloseWaitsForRoom(t *testing.T) {
	conn, peer := tlsPair(t)
	for _, c := range []*transport.TLSConn{conn, peer} {
		if err := c.SetDeadline(time.Now().Add(6 * patience)); err != nil { // it is much, and encrypted
			t.Fatal(err)
		}
	}
	wrote := full(t, conn, peer)
	ended := make(chan error, 1)
	go func() { ended <- conn.CloseWrite() }()
	select {
	case err := <-ended:
		t.Fatalf("CloseWrite did not wait, and gave %v", err)
	case <-time.After(grace):
	}
	if n, err := io.Copy(io.Discard, peer); err != nil || n != muchMore-1 {
		t.Errorf("got %d bytes, %v; want %d and the end", n, err, muchMore-1)
	}
	if err := errors.Join(await(t, wrote), await(t, ended)); err != nil {
		t.Error(err)
	}
}

// The caller's deadline counts, and not the five seconds of crypto/tls.
func TestTLSHalfCloseSetsNoDeadline(t *testing.T) {
	relayConfig, clientConfig := configs(t)
	var deadlines atomic.Int32
	addr, result := listenTLS(t, relayConfig, func(conn conn.Conn, config *tls.Config) (conn.Conn, error) {
		return transport.Secure(watched{conn, &deadlines}, config)
	})
	client, err := transport.DialRelayTLS(t.Context(), addr, clientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	relay := await(t, result)
	if relay.err != nil {
		t.Fatal(relay.err)
	}
	if err := relay.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n := deadlines.Load(); n > 0 {
		t.Errorf("a write deadline was set %d times", n)
	}
}

// watched is a connection that counts.
type watched struct {
	conn.Conn
	deadlines *atomic.Int32
}

func (w watched) SetWriteDeadline(t time.Time) error {
	w.deadlines.Add(1)
	return w.Conn.SetWriteDeadline(t)
}

// A peer that reads nothing does not hold up Close, and sees no orderly end.
func TestTLSCloseIsBounded(t *testing.T) {
	conn, peer := tlsPair(t)
	wrote := full(t, conn, peer)
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- conn.Close() }()
	if err := await(t, ended); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	if err := await(t, wrote); err == nil {
		t.Error("all of it was written")
	}
	if n, err := io.Copy(io.Discard, peer); err == nil || n >= muchMore {
		t.Errorf("the peer sees an end after %d bytes", n)
	}
}

// Reset does not wait, also while Close does.
func TestTLSResetWhileClosing(t *testing.T) {
	conn, peer := tlsPair(t)
	wrote := full(t, conn, peer)
	ended := make(chan error, 1)
	go func() { ended <- conn.Close() }()
	for conn.SetWriteDeadline(time.Now().Add(patience)) == nil { // until Close has begun
		runtime.Gosched()
	}
	_ = conn.Reset()
	await(t, ended)
	await(t, wrote)
	if _, err := io.Copy(io.Discard, peer); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer sees %v, want a reset", err)
	}
}

func await[T any](t *testing.T, from chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatal("nothing happened")
	}
	return got
}

func TestTLSReset(t *testing.T) {
	bothWays(t, func(t *testing.T, conn, peer *transport.TLSConn) {
		if err := conn.Reset(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) || len(got) > 0 {
			t.Errorf("got %q, %v (nil is EOF); want a reset", got, err)
		}
		wantClosed(t, conn)
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("then reading gives %v", err)
		}
		if _, err := conn.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("then writing gives %v", err)
		}
	})
}

func TestTLSEndedOnce(t *testing.T) {
	conn, _ := tlsPair(t)
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
}

// Read after WaitReadable returns the same bytes, without waiting again.
func TestTLSWaitReadable(t *testing.T) {
	conn, peer := tlsPair(t)
	for _, size := range []int{1, 2, 1000, 16 << 10} {
		record := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := conn.Write(record); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			peer.WaitReadable()
		}
		got := make([]byte, 2*size)
		if n, err := peer.Read(got); err != nil || !bytes.Equal(got[:n], record) {
			t.Errorf("got %d bytes, %v; want %d", n, err, size)
		}
	}
	if _, err := io.WriteString(conn, "that is all"); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite()
	peer.WaitReadable()
	if got, err := io.ReadAll(peer); err != nil || string(got) != "that is all" {
		t.Errorf("got %q, %v", got, err)
	}
	peer.WaitReadable() // for the end, which stays
}

// A deadline that is over ends the wait, and nothing else.
func TestTLSWaitReadableUntil(t *testing.T) {
	conn, peer := tlsPair(t)
	_ = peer.SetReadDeadline(time.Now().Add(-time.Second))
	peer.WaitReadable()
	if n, err := peer.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d bytes, %v", n, err)
	}
	_ = peer.SetReadDeadline(time.Now().Add(patience))
	talk(t, conn, peer)
}
