package transport_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// accepted returns a connection that no call has waited for yet, and its peer.
func accepted(t *testing.T) (near conn.Conn, far *net.TCPConn) {
	t.Helper()
	l, err := transport.ListenUsers("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Reset(), dialed.Close() })
	return near, dialed.(*net.TCPConn)
}

func TestPrompt(t *testing.T) {
	near, far := accepted(t)
	buf := make([]byte, 10)
	if n, err := conn.TryRead(near, buf); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("before anything came: %d, %v", n, err)
	}
	if !conn.TryWrite(near, []byte("hello")) {
		t.Fatal("a few bytes would have to wait")
	}
	if _, err := io.ReadFull(far, buf[:5]); err != nil || string(buf[:5]) != "hello" {
		t.Errorf("the peer got %q, %v", buf[:5], err)
	}
	if _, err := far.Write([]byte("world")); err != nil {
		t.Fatal(err)
	}
	_ = far.CloseWrite()
	if n, err := near.Read(buf); err != nil || string(buf[:n]) != "world" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	if n, err := near.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// Deadlines hold for every call that waits, whenever they were set.
func TestPromptDeadlines(t *testing.T) {
	near, _ := accepted(t)
	if err := near.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}

	near, far := accepted(t)
	if _, err := far.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := near.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := near.Write([]byte("hello")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write past the deadline: %d, %v", n, err)
	}
	if n, err := near.Read(make([]byte, 5)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read past the deadline: %d, %v", n, err)
	}
	if err := near.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := near.Read(make([]byte, 5)); n != 5 || err != nil {
		t.Errorf("Read without one: %d, %v", n, err)
	}
}

// A reset that has come is an error, and no end.
func TestPromptReset(t *testing.T) {
	near, far := accepted(t)
	_ = far.SetLinger(0)
	_ = far.Close()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read: %v", err)
	}
	near, _ = accepted(t)
	_ = near.Close()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := near.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline after Close: %v", err)
	}
}
