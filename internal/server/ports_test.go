package server_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
)

// A range is used to its last port, and a port that was given up can be had
// again.
func TestRangeIsExhausted(t *testing.T) {
	r := start(t)
	given := make(map[int]*net.TCPConn)
	tunnels := make(map[int]*fakeTunnel)
	for range 3 {
		tunnel, client := r.register()
		if given[tunnel.port] != nil {
			t.Fatalf("port %d was given twice", tunnel.port)
		}
		given[tunnel.port], tunnels[tunnel.port] = client, tunnel
	}
	for range 2 {
		if got := r.refusal("multiplex\n"); !strings.HasPrefix(got, "-no-port no public port is free in ") {
			t.Errorf("the fourth registration is answered by %q", got)
		}
	}
	for port, tunnel := range tunnels {
		tunnel.end()
		wantClosed(t, "the end of the tunnel", tunnel.closed)
		again, _ := r.register()
		if again.port != port {
			t.Errorf("got port %d, want %d, the only one that is free", again.port, port)
		}
	}
}

// Ports of other programs are passed over, and not remembered as taken.
func TestPortsOfOtherPrograms(t *testing.T) {
	r, ports := startWithPorts(t, 3)
	var others []conn.Listener
	for port := ports.First; port < ports.Last; port++ {
		l, err := listen(port)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		others = append(others, l)
	}
	tunnel, _ := r.register()
	if tunnel.port != ports.Last {
		t.Errorf("got port %d, want %d, the only one that is free", tunnel.port, ports.Last)
	}
	if got := r.refusal("multiplex\n"); !strings.HasPrefix(got, "-no-port ") {
		t.Errorf("the next registration is answered by %q", got)
	}
	_ = others[0].Close()
	if tunnel, _ := r.register(); tunnel.port != ports.First {
		t.Errorf("got port %d, want %d, the only one that is free", tunnel.port, ports.First)
	}
}

// That a port is somebody else's, or set aside by the system, Winsock says with
// numbers of its own.
func TestPortsOfOtherProgramsOnWindows(t *testing.T) {
	const accessDenied, addressInUse = 10013, 10048 // WSAEACCES, WSAEADDRINUSE
	var ports port.Range
	r := start(t, func(c *server.Config) {
		c.Ports = freePorts(t, 3)
		ports = c.Ports
		c.Listen = func(port int) (conn.Listener, error) {
			switch port {
			case ports.First:
				return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.Errno(accessDenied))}
			case ports.First + 1:
				return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.Errno(addressInUse))}
			}
			return listen(port)
		}
	})
	if got := r.refusal(fmt.Sprintf("+port %d\nmultiplex\n", ports.First+1)); got != "-port-taken somebody else has this port" {
		t.Errorf("the port that is in use is answered by %q", got)
	}
	if tunnel, _ := r.register(); tunnel.port != ports.Last {
		t.Errorf("got port %d, want %d, the only one that is free", tunnel.port, ports.Last)
	}
}

func startWithPorts(t *testing.T, n int) (*relay, port.Range) {
	t.Helper()
	var ports port.Range
	r := start(t, func(c *server.Config) {
		c.Ports = freePorts(t, n)
		ports = c.Ports
	})
	return r, ports
}

// A failure that is not about the port is no reason to try ten thousand others,
// and does not use the port up.
func TestListenFails(t *testing.T) {
	var failing atomic.Bool
	var tries atomic.Int32
	r := start(t, func(c *server.Config) {
		c.Ports = freePorts(t, 1)
		c.Listen = func(port int) (conn.Listener, error) {
			tries.Add(1)
			if failing.Load() {
				return nil, syscall.EMFILE
			}
			return listen(port)
		}
	})
	failing.Store(true)
	if got := r.refusal("multiplex\n"); got != "-no-port the relay cannot open a public port" {
		t.Errorf("answered by %q", got)
	}
	if n := tries.Load(); n != 1 {
		t.Errorf("it tried %d times", n)
	}
	failing.Store(false)
	r.register()
}

// The next public port must not be anybody's to guess.
func TestPortsAreNotInOrder(t *testing.T) {
	const n = 20
	r := start(t, func(c *server.Config) {
		c.Ports = freePorts(t, n)
		c.Limits.TunnelsPerSource = n
	})
	var got []string
	rising := true
	for i := range n {
		tunnel, _ := r.register()
		got = append(got, strconv.Itoa(tunnel.port))
		if i > 0 && got[i] < got[i-1] {
			rising = false
		}
	}
	if rising {
		t.Errorf("the ports came in order: %s", strings.Join(got, ", "))
	}
}

// Another address cannot have a port by asking for it as soon as its owner is gone,
// though that has no lease.
func TestPortIsNotHijacked(t *testing.T) {
	r := start(t)
	owner := r.request("multiplex\n")
	tunnel := <-r.fake.tunnels
	_ = owner.Close()
	tunnel.end()
	wantClosed(t, "the end of the tunnel", tunnel.closed)
	request := fmt.Sprintf("+port %d\nmultiplex\n", tunnel.port)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	thief, err := from.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	_ = thief.SetDeadline(time.Now().Add(patience))
	conntest.Write(t, thief, request)
	conntest.WantRead(t, thief, "-port-taken ")
	if got := string(conntest.Read(t, r.request(request), 5)); strings.HasPrefix(got, "-") {
		t.Errorf("the owner is answered by %q", got)
	}
}
