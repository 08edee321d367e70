package join

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// tcpClose is TCP_CLOSE of the kernel's include/net/tcp_states.h.
const tcpClose = 7

// waitAcknowledged waits until the peer's kernel has all that was written, until
// limit at most. The kernel does not report that, so it is polled, with longer and
// longer pauses.
func waitAcknowledged(limit time.Time, unacknowledged func() bool) {
	for pause := time.Millisecond; unacknowledged() && time.Now().Before(limit); pause *= 2 {
		time.Sleep(min(pause, time.Until(limit))) //nolint:forbidigo // there is nothing to wait on
	}
}

// drain waits until the peer's kernel has all that was written, for abortWait at most.
func drain(tcp *net.TCPConn) {
	waitAcknowledged(time.Now().Add(abortWait), func() (queued bool) {
		onSocket(tcp, func(fd int) { queued = unacknowledged(fd) })
		return queued
	})
}

// unacknowledged reports whether some of what was written to a TCP socket may still be
// delivered. The peer has all that was written to a Unix socket, also after that is closed.
func unacknowledged(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State != tcpClose && queued(fd) > 0
}

// queued returns how many bytes were written and not acknowledged. For a Unix socket that is
// the memory of what the peer has not read.
func queued(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQ) // fails if fd is no socket
	return n
}

// unacknowledgedOf is queued for the socket that c is, if it is one.
func unacknowledgedOf(c conn.Conn) (n int) {
	if tcp := conn.TCPOf(c); tcp != nil {
		onSocket(tcp, func(fd int) { n = queued(fd) })
	}
	return n
}

// slowRTO is a retransmission timeout, in microseconds, that only a lossy path has: some
// attempts have been in vain already.
const slowRTO = 1_000_000

// isStuck is stuck for a socket.
func isStuck(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && stuck(info)
}

// stuck reports whether what was written to a socket will take its time: the peer's
// window, or the path to it, has no room for it, or the path loses it.
func stuck(info *unix.TCPInfo) bool {
	const caOpen = 0 // TCP_CA_Open: nothing seems to be lost
	switch {
	case info.State == tcpClose:
		return false
	case info.Notsent_bytes > 0:
		return true
	}
	return info.Unacked > 0 && (info.Ca_state != caOpen || info.Rto > slowRTO)
}

// isClosed reports whether the kernel is done with the connection of a TCP socket:
// after a reset, a failure, or when both sides have ended. A Unix socket shows a failure to
// the next read, and no write takes it from there.
func isClosed(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err == unix.EOPNOTSUPP {
		return false
	}
	return err != nil || info.State == tcpClose
}

// closeSocket closes a socket with an end, or, after an error, with a reset.
func closeSocket(fd int, err error) {
	if err == nil {
		conn.PrepareClose(fd)
		_ = unix.Close(fd)
		return
	}
	linger := unix.Linger{Onoff: 1}                                         // for no time at all
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger) // cannot fail
	_ = unix.Close(fd)
}
