package transport

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// control prepares a listener before it listens, for the connections that it accepts, and
// a connection before it connects.
func control(_, _ string, raw syscall.RawConn) error {
	var err error
	if rawErr := raw.Control(func(fd uintptr) { err = prepare(int(fd)) }); rawErr != nil {
		return rawErr
	}
	return err
}

// prepare sets what holds for the life of a connection: see Conn.
func prepare(fd int) error {
	if err := prepareDial(fd); err != nil {
		return err
	}
	return settle(fd)
}

// prepareDial sets what a connection needs from its first byte on, and in case that the
// process is killed.
func prepareDial(fd int) error {
	err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1) // see keepUrgentInline
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return os.NewSyscallError("setsockopt", err)
}

// settle sets what decides when a peer that has vanished is noticed, which takes half a
// minute. The time that a connection is silent already counts: the kernel looks at that
// when TCP_KEEPIDLE is set on a connection with keep-alive.
func settle(fd int) error {
	alive := keepAlive()
	for _, o := range [...]struct{ level, option, value int }{
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(alive.Interval.Seconds())},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, alive.Count},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(alive.Idle.Seconds())},
		{unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(rtoMax.Milliseconds())},
	} {
		err := unix.SetsockoptInt(fd, o.level, o.option, o.value)
		if o.option == unix.TCP_RTO_MAX_MS && errors.Is(err, unix.ENOPROTOOPT) {
			continue // the kernel is older than that
		}
		if err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func setUserTimeout(tcp *net.TCPConn, d time.Duration) error {
	return setOption(tcp, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}

// letGo is conn.PrepareClose.
func letGo(tcp *net.TCPConn) {
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { conn.PrepareClose(int(fd)) }) // fails only when closed
	}
}

func setNotSent(tcp *net.TCPConn, bytes int) error {
	return setOption(tcp, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}

// keepUrgentInline has urgent data come in its place among the other bytes;
// otherwise the kernel would take it out, and it would be lost.
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

// duplicate returns a second descriptor of the socket.
func duplicate(socket syscall.Conn) (fd int, err error) {
	raw, err := socket.SyscallConn()
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
