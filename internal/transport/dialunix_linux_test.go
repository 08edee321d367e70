package transport_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// fullUnixListener listens with a queue for one connection, which is in it.
func fullUnixListener(t *testing.T) (l *net.UnixListener, path string) {
	t.Helper()
	l, path = listenUnix(t)
	raw, err := l.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.Listen(int(fd), 0) }) // room for one
	}
	if err != nil {
		t.Fatal(err)
	}
	first, err := transport.DialLocal(background, "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	return l, path
}

// The kernel refuses a connection for which a Unix socket's queue has no room. It is tried
// again until there is.
func TestUnixQueueIsFull(t *testing.T) {
	l, path := fullUnixListener(t)
	c, wait := localAddr(t, "unix:"+path).Start(nil)
	if c != nil {
		t.Fatal("it is connected, and the queue is full")
	}
	result := make(chan error, 1)
	go func() {
		c, err := wait(background)
		if err == nil {
			err = c.Close()
		}
		result <- err
	}()
	for range 2 {
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestUnixQueueStaysFull(t *testing.T) {
	_, path := fullUnixListener(t)
	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	if c, err := transport.DialLocal(ctx, "unix:"+path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v; want %v", c, err, context.DeadlineExceeded)
	}
}

// A connection to a Unix socket can be given to an event loop, before and after it was read.
func TestUnixDetach(t *testing.T) {
	for _, used := range []bool{false, true} {
		l, path := listenUnix(t)
		c, err := transport.DialLocal(background, "unix:"+path)
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if used {
			if _, err := c.(syscall.Conn).SyscallConn(); err != nil { // the runtime's poller knows it
				t.Fatal(err)
			}
		}
		ended := make(chan struct{})
		fd, err := c.(conn.Detachable).Detach(func() { close(ended) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("y")); err != nil {
			t.Error(err)
		}
		var b [2]byte
		if n, err := server.Read(b[:]); n != 1 || err != nil {
			t.Errorf("read %d bytes and %v", n, err)
		}
		_ = c.Close()
		<-ended
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
}
