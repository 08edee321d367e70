package transport_test

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// options are the kernel's settings of a connection.
type options struct {
	idle, interval, count int // of keepalive: seconds, seconds, probes
	rtoMax, userTimeout   int // milliseconds
	notSent               int // bytes
}

// every are the settings of every leg.
var every = options{idle: 15, interval: 2, count: 8, rtoMax: 3000}

// The kernel decides whether a peer that has vanished is noticed, and when. Its settings
// have to be on the sockets themselves: accepted ones inherit only a part of them from
// their listener.
func TestSocketOptions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		listen func(string) (*transport.Listener, error)
		dial   func(context.Context, string) (conn.Conn, error)
	}{
		{"between relay and relay client", transport.ListenRelayClients, transport.DialRelay},
		{"between user and relay, and to the local server", transport.ListenUsers, transport.DialLocal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			accepted, dialed := pair(t, tt.listen, tt.dial)
			checkOptions(t, accepted, every)
			checkOptions(t, dialed, every)
		})
	}
}

// TCP_USER_TIMEOUT ends a connection whose peer acknowledges nothing, be it dead or slow.
// It is only for connections whose peers always read.
func TestAlwaysRead(t *testing.T) {
	accepted, dialed := pair(t, transport.ListenRelayClients, transport.DialRelay)
	for _, conn := range []conn.Conn{accepted, dialed} {
		conn.(interface{ AlwaysRead(time.Duration) }).AlwaysRead(30 * time.Second)
		want := every
		want.userTimeout, want.notSent = 30_000, 128<<10
		checkOptions(t, conn, want)
	}
}

func checkOptions(t *testing.T, conn conn.Conn, want options) {
	t.Helper()
	raw, err := conn.(interface{ TCP() *net.TCPConn }).TCP().SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		get := func(level, option int) int {
			n, err := unix.GetsockoptInt(int(fd), level, option)
			if err != nil {
				t.Errorf("getsockopt %d, %d: %v", level, option, err)
			}
			return n
		}
		if get(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 1 {
			t.Error("keepalive is off")
		}
		if get(unix.IPPROTO_TCP, unix.TCP_NODELAY) != 1 {
			t.Error("Nagle's algorithm is on: small messages would wait for each other")
		}
		if get(unix.SOL_SOCKET, unix.SO_OOBINLINE) != 1 {
			t.Error("urgent data would be taken out and lost")
		}
		linger, err := unix.GetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER)
		if err != nil || linger.Onoff != 1 || linger.Linger != 0 {
			t.Errorf("SO_LINGER is %+v, %v; want {1, 0}", linger, err)
		}
		got := options{
			idle:        get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE),
			interval:    get(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL),
			count:       get(unix.IPPROTO_TCP, unix.TCP_KEEPCNT),
			userTimeout: get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT),
			notSent:     get(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT),
		}
		switch ms, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS); err {
		case nil:
			got.rtoMax = ms
		case unix.ENOPROTOOPT:
			got.rtoMax = want.rtoMax // the kernel is older than that
		default:
			t.Errorf("getsockopt TCP_RTO_MAX_MS: %v", err)
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
