package join

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// wasReset tells, for a connection whose read side ended while its write side
// was open, whether the end was a reset: after FIN the kernel's state is
// CLOSE-WAIT, after RST it is CLOSED.
func wasReset(conn Conn) bool {
	tcp := tcpOf(conn)
	if tcp == nil {
		return false
	}
	reset := false
	onSocket(tcp, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		reset = err == nil && info.State == tcpClose
	})
	return reset
}

// tcpClose is TCP_CLOSE of the kernel's include/net/tcp_states.h.
const tcpClose = 7

// waitAcknowledged waits until the peer's kernel has all that was written. The
// kernel tells nobody when that happens, so it is asked, ever less often.
func waitAcknowledged(tcp *net.TCPConn, limit time.Duration) {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; unacknowledged(tcp) && time.Now().Before(deadline); pause *= 2 {
		time.Sleep(min(pause, time.Until(deadline))) //nolint:forbidigo // there is nothing to wait on
	}
}

func unacknowledged(tcp *net.TCPConn) bool {
	queued := 0
	onSocket(tcp, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.State == tcpClose {
			return // nothing will be delivered any more
		}
		queued, _ = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	})
	return queued > 0
}

func onSocket(tcp *net.TCPConn, f func(fd int)) {
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) }) // fails only when closed
	}
}
