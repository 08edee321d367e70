package tcpstate

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// RoundTrip returns how long a packet takes to the peer of c and back, as the kernel has
// measured it lately. It is zero for anything but a TCP connection of package transport, for
// one that is closed, and on systems that cannot tell.
func RoundTrip(c net.Conn) (measured time.Duration) {
	s, ok := conn.As[conn.Controller](c)
	if !ok {
		return 0
	}
	_ = s.Control(func(fd uintptr) { // fails only when closed
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			measured = time.Duration(info.Rtt) * time.Microsecond
		}
	})
	return measured
}
