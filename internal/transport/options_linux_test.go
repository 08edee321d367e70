package transport_test

import (
	"context"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// options are what the kernel was told about a connection.
type options struct {
	idle, interval, count int // of keepalive: seconds, seconds, probes
	userTimeout           int // milliseconds
	notSent               int // bytes
}

// Whether a peer that vanished is noticed, and when, is up to the kernel. What
// it was told has to be on the sockets themselves: those that were accepted
// inherit only a part of it from their listener.
func TestSocketOptions(t *testing.T) {
	toRelay := options{idle: 15, interval: 5, count: 3}
	toUser := options{idle: 60, interval: 15, count: 4}
	for _, tt := range []struct {
		name                 string
		listen               func(string) (*transport.Listener, error)
		dial                 func(context.Context, string) (join.Conn, error)
		atListener, atDialer *options
	}{
		{"between relay and relay client", transport.ListenRelayClients, transport.DialRelay, &toRelay, &toRelay},
		{"between user and relay, and to the local server", transport.ListenUsers, transport.DialLocal, &toUser, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			accepted, dialed := pair(t, tt.listen, tt.dial)
			for conn, want := range map[join.Conn]*options{accepted: tt.atListener, dialed: tt.atDialer} {
				checkOptions(t, conn, want)
			}
		})
	}
}

// TCP_USER_TIMEOUT ends a connection whose peer takes nothing, be it dead or
// slow. It is for those alone whose peers always read.
func TestAlwaysRead(t *testing.T) {
	accepted, dialed := pair(t, transport.ListenRelayClients, transport.DialRelay)
	for _, conn := range []join.Conn{accepted, dialed} {
		conn.(interface{ AlwaysRead() }).AlwaysRead()
		checkOptions(t, conn, &options{idle: 15, interval: 5, count: 3, userTimeout: 30_000, notSent: 128 << 10})
	}
}

// checkOptions compares; nil stands for the system's own settings.
func checkOptions(t *testing.T, conn join.Conn, want *options) {
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
		if want != nil && got != *want {
			t.Errorf("got %+v, want %+v", got, *want)
		}
		if want == nil && got.userTimeout != 0 {
			t.Errorf("TCP_USER_TIMEOUT is %d ms where the system's default was wanted", got.userTimeout)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
