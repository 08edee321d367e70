package conntest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait. Only with a bug does a wait take so long.
const patience = 20 * time.Second

// Sockets makes a connection over loopback that the runtime's poller does not know,
// with buffers of that size at both ends unless it is 0. Near does not block. Far blocks
// for up to patience. The caller closes both.
func Sockets(tb testing.TB, buffers int) (near, far int) {
	tb.Helper()
	listener := tcpSocket(tb, buffers)
	defer func() { _ = unix.Close(listener) }()
	must(tb, unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(tb, unix.Listen(listener, 1))
	addr, err := unix.Getsockname(listener)
	must(tb, err)
	far = tcpSocket(tb, buffers)
	must(tb, unix.Connect(far, addr)) // with the timeouts below, a signal could interrupt it
	must(tb, unix.SetsockoptInt(far, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	must(tb, unix.SetsockoptTimeval(far, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	must(tb, unix.SetsockoptTimeval(far, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
	near, _, err = unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	must(tb, err)
	return near, far
}

func tcpSocket(tb testing.TB, buffers int) (fd int) {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(tb, err)
	if buffers > 0 {
		must(tb, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffers))
		must(tb, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, buffers))
	}
	return fd
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
