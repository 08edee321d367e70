package transport_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// unwatchable is what Conn is to an event loop.
type unwatchable interface {
	conn.Conn
	conn.Controller
	Unwatch() error
}

// unwatchedPair returns both ends of a connection. The runtime's poller does not watch the
// first.
func unwatchedPair(t *testing.T) (unwatchable, conn.Conn) {
	t.Helper()
	c, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
	u := c.(unwatchable)
	if err := u.Unwatch(); err != nil {
		t.Fatal(err)
	}
	return u, peer
}

// The socket is used through Control, and a Read that waits fails.
func TestUnwatch(t *testing.T) {
	c, peer := pair(t, transport.ListenRelayClients, transport.DialRelay)
	u := c.(unwatchable)
	reading := make(chan error, 1)
	go func() {
		_, err := u.Read(make([]byte, 1))
		reading <- err
	}()
	local, remote := u.LocalAddr().String(), u.RemoteAddr().String()
	if err := u.Unwatch(); err != nil {
		t.Fatal(err)
	}
	if err := <-reading; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read returns %v", err)
	}
	if l, r := u.LocalAddr().String(), u.RemoteAddr().String(); l != local || r != remote {
		t.Errorf("the addresses are %s and %s, and were %s and %s", l, r, local, remote)
	}
	if err := u.Unwatch(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Unwatch returns %v", err)
	}
	if _, err := u.(conn.Detachable).Detach(func() {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Detach returns %v", err)
	}
	var err error
	if closed := u.Control(func(fd uintptr) { _, err = unix.Write(int(fd), []byte("x")) }); closed != nil || err != nil {
		t.Fatal(closed, err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// The peer sees the end that this side has chosen.
func TestUnwatchedEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(conn.Conn) error
		want error
	}{
		"CloseWrite": {conn.Conn.CloseWrite, io.EOF},
		"Close":      {conn.Conn.Close, io.EOF},
		"Reset":      {conn.Conn.Reset, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			u, peer := unwatchedPair(t)
			if err := c.end(u); err != nil {
				t.Fatal(err)
			}
			if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, c.want) {
				t.Errorf("the peer reads %v, want %v", err, c.want)
			}
			if name == "CloseWrite" {
				return
			}
			control := u.Control(func(uintptr) { t.Error("there is a descriptor") })
			for what, err := range map[string]error{
				"Control": control, "CloseWrite": u.CloseWrite(), "Close": u.Close(), "Unwatch": u.Unwatch(),
			} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("then %s returns %v", what, err)
				}
			}
		})
	}
}

// Nothing waits for what Control does, and nobody takes its descriptor away.
func TestUnwatchedIsClosedMeanwhile(t *testing.T) {
	u, _ := unwatchedPair(t)
	closed := make(chan error, 1)
	err := u.Control(func(fd uintptr) {
		go func() { closed <- u.Close() }()
		select {
		case <-closed:
			t.Error("it was closed while it was used")
		case <-time.After(grace):
		}
		if err := os.NewSyscallError("getsockname", func() error { _, err := unix.Getsockname(int(fd)); return err }()); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// A connection is no closed one while the poller loses it.
func TestUseWhilePollerLosesIt(t *testing.T) {
	control := func(c conn.Conn) error { return c.(conn.Controller).Control(func(uintptr) {}) }
	unwatch := func(c conn.Conn) error { return c.(unwatchable).Unwatch() }
	for name, c := range map[string]struct{ use, lose func(conn.Conn) error }{
		"Control, Unwatch":     {control, unwatch},
		"CloseWrite, Unwatch":  {conn.Conn.CloseWrite, unwatch},
		"Control, LeavePoller": {control, func(c conn.Conn) error { return c.(conn.Polled).LeavePoller() }},
	} {
		t.Run(name, func(t *testing.T) {
			for range 500 {
				near, far := accepted(t)
				_ = near.(interface{ TCP() *net.TCPConn }).TCP() // the poller knows it from now on
				useMeanwhile(t, near, c.use, c.lose)
				_, _ = near.Reset(), far.Close()
				if t.Failed() {
					return
				}
			}
		})
	}
}

// useMeanwhile calls use again and again, from before lose until after it.
func useMeanwhile(t *testing.T, c conn.Conn, use, lose func(conn.Conn) error) {
	t.Helper()
	started, lost, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		close(started)
		for last := false; !last; {
			select {
			case <-lost:
				last = true
			default:
			}
			if err := use(c); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	<-started
	err := lose(c)
	close(lost)
	if used := <-done; err != nil || used != nil {
		t.Errorf("losing it returns %v, and its use %v", err, used)
	}
}
