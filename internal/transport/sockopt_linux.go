package transport

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func setUserTimeout(tcp *net.TCPConn, d time.Duration) error {
	return setOption(tcp, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}

func setNotSent(tcp *net.TCPConn, bytes int) error {
	return setOption(tcp, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}

// keepUrgentInline has urgent data come in its place among the other bytes;
// otherwise it would be taken out and lost.
func keepUrgentInline(tcp *net.TCPConn) error {
	return setOption(tcp, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
}

func setOption(tcp *net.TCPConn, level, option, value int) error {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	if rawErr := raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), level, option, value))
	}); rawErr != nil {
		return rawErr
	}
	return err
}

// duplicate gives a second descriptor of the socket.
func duplicate(tcp *net.TCPConn) (fd int, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, err
	}
	if rawErr := raw.Control(func(of uintptr) {
		fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0)
	}); rawErr != nil {
		return -1, rawErr
	}
	return fd, os.NewSyscallError("fcntl", err)
}
