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
	onSocket(tcp, func(fd int) { reset = isClosed(fd) })
	return reset
}

// tcpClose is TCP_CLOSE of the kernel's include/net/tcp_states.h.
const tcpClose = 7

// waitAcknowledged waits until the peer's kernel has all that was written, until
// limit at most. The kernel tells nobody when that happens, so it is asked, ever
// less often.
func waitAcknowledged(limit time.Time, unacknowledged func() bool) {
	for pause := time.Millisecond; unacknowledged() && time.Now().Before(limit); pause *= 2 {
		time.Sleep(min(pause, time.Until(limit))) //nolint:forbidigo // there is nothing to wait on
	}
}

// awaitDelivery waits for it for abortWait at most.
func awaitDelivery(tcp *net.TCPConn) {
	waitAcknowledged(time.Now().Add(abortWait), func() (queued bool) {
		onSocket(tcp, func(fd int) { queued = unacknowledged(fd) })
		return queued
	})
}

func unacknowledged(fd int) bool {
	if isClosed(fd) {
		return false // nothing will be delivered any more
	}
	return queued(fd) > 0
}

// queued is how many bytes were written and not acknowledged.
func queued(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQ) // fails for what is no socket
	return n
}

// isClosed tells whether the kernel is done with the connection of a socket:
// after a reset, a failure, or when both sides have ended.
func isClosed(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err != nil || info.State == tcpClose
}

// closeSocket closes a socket with an end, or, after an error, with a reset.
func closeSocket(fd int, err error) {
	linger := unix.Linger{Onoff: 1} // for no time at all
	if err == nil {
		linger.Onoff = 0
	}
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger) // cannot fail
	_ = unix.Close(fd)
}

// onSocket calls f with the descriptor of tcp.
func onSocket(tcp *net.TCPConn, f func(fd int)) {
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) }) // fails only when closed
	}
}
