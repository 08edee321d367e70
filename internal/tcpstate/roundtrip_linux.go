package tcpstate

import (
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// RoundTrip returns how long a packet takes to the peer of c and back: the shortest time that
// the kernel has measured in the last five minutes (tcp_min_rtt_wlen). What it smooths has
// in it that a peer may wait before it acknowledges, 40 ms on a connection at rest. It is
// zero for anything but a TCP connection of package transport, for one that is closed, and on
// systems that cannot tell.
func RoundTrip(c net.Conn) (measured time.Duration) {
	s, ok := conn.As[conn.Controller](c)
	if !ok {
		return 0
	}
	_ = s.Control(func(fd uintptr) { // fails only when closed
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			measured = shortest(info)
		}
	})
	return measured
}

// shortest returns the shortest round trip. Without one, as on Linux before 4.6, it is the
// smoothed one.
func shortest(info *unix.TCPInfo) time.Duration {
	if m := info.Min_rtt; m != 0 && m != math.MaxUint32 {
		return time.Duration(m) * time.Microsecond
	}
	return time.Duration(info.Rtt) * time.Microsecond
}
