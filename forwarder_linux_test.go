package relay_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// reserve binds a port on which nobody listens, and which nobody else gets. Listen has a
// server listen there, until it is closed.
func reserve(t *testing.T) (addr string, listen func() net.Listener) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "reserved")
	t.Cleanup(func() { _ = file.Close() })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port), func() net.Listener {
		if err := unix.Listen(fd, 16); err != nil {
			t.Fatal(err)
		}
		l, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

// The state says that the local server is down, why and since when, and that it is back.
func TestForwarderStateWithoutItsLocalServer(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		local, listen := reserve(t)
		f := run(t, relaytest.Start(t).Addr(), local, options)
		if s := f.State().LocalServer; s.Addr != local || !s.Tried.IsZero() || s.Err != nil {
			t.Errorf("before any user the local server is %+v", s)
		}
		if err := turnedAway(f.public); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a user sees %v, want a reset", err)
		}
		if e := f.event(t, "tunnel_state_changed"); e.From != "unknown" || e.To != "local_server_down" || !errors.Is(e.Err, syscall.ECONNREFUSED) {
			t.Errorf("the change of the local server is %+v", e)
		}
		if e := f.event(t, "user_reset"); e.Reason != "dial_failed" || !errors.Is(e.Err, syscall.ECONNREFUSED) {
			t.Errorf("the event is %+v", e)
		}
		down := f.State().LocalServer
		if !errors.Is(down.Err, syscall.ECONNREFUSED) || down.Tried.IsZero() || down.Since != down.Tried {
			t.Errorf("without a server the state is %+v", down)
		}
		if err := turnedAway(f.public); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a user sees %v, want a reset", err)
		}
		f.event(t, "user_reset")
		still := f.State().LocalServer
		if still.Err == nil || !still.Since.Equal(down.Since) || !still.Tried.After(down.Tried) {
			t.Errorf("the state was %+v and is %+v", down, still)
		}
		serveGreeting(t, listen())
		if err := greeted(f.public); err != nil {
			t.Fatal(err)
		}
		if e := f.event(t, "tunnel_state_changed"); e.From != "local_server_down" || e.To != "up" || e.Err != nil {
			t.Errorf("the change of the local server is %+v", e)
		}
		back := f.State().LocalServer
		if back.Err != nil || back.Since != back.Tried || back.Took <= 0 {
			t.Errorf("with a server the state is %+v", back)
		}
	})
}

// A packet takes some time to the relay and back, under TLS as well.
func TestForwarderStateHasTheRoundTrip(t *testing.T) {
	server := relaytest.Start(t)
	encrypted, err := server.TLS()
	if err != nil {
		t.Fatal(err)
	}
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		for _, options.TLS = range []*tls.Config{nil, encrypted} {
			f := run(t, server.Addr(), "127.0.0.1:1", options)
			if s := f.State(); s.RoundTrip <= 0 {
				t.Errorf("the round trip is %v", s.RoundTrip)
			}
		}
	})
}
