package transport

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// Share returns a further descriptor of the listener's socket, for another process to listen
// at it, too. The caller closes it. The socket is open as long as one of them is: no
// connection in its queue is lost when this listener is closed.
func (l *Listener) Share() (fd int, err error) {
	closed := l.acceptor.control(func(open uintptr) {
		fd, err = unix.FcntlInt(open, unix.F_DUPFD_CLOEXEC, 0)
	})
	if closed != nil {
		return -1, closed
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// control calls f with the descriptor, which is valid meanwhile.
func (a *acceptor) control(f func(fd uintptr)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.fd >= 0:
		f(uintptr(a.fd))
		return nil
	case a.file == nil || a.closed:
		return net.ErrClosed
	}
	raw, err := a.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

// AdoptListener returns a listener at a socket that another process has opened as this
// package does. It takes fd over.
func AdoptListener(fd int) (*Listener, error) {
	addr, err := listening(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("a socket that was handed over: %w", err)
	}
	local := addr
	if addr.IP.IsUnspecified() {
		local = nil
	}
	return &Listener{addr, &acceptor{local: local, fd: fd}}, nil
}

// listening returns the address at which a socket listens.
func listening(fd int) (*net.TCPAddr, error) {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	if listens == 0 {
		return nil, os.NewSyscallError("listen", syscall.EINVAL)
	}
	addr, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return tcpAddr(addr), nil
}

// Give returns the descriptor of c for another process, which takes the connection over, and
// reports whether c is a socket with its own bytes. Nothing may use c meanwhile. The caller
// closes the descriptor when it is sent; c is closed by then.
func Give(c conn.Conn) (fd int, ok bool) {
	d, ok := conn.Innermost(c).(conn.Detachable)
	if !ok {
		return -1, false
	}
	conn.SettleNow(c)
	fd, err := d.Detach(func() {})
	return fd, err == nil
}

// Adopt returns a connection that another process has given. It takes fd over. A peer that is
// not nil is one that a proxy in between has named.
func Adopt(fd int, peer *net.TCPAddr) (conn.Conn, error) {
	remote, err := syscall.Getpeername(fd)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd) // which resets it
		return nil, os.NewSyscallError("getpeername", err)
	}
	s := &socket{fd: fd, remote: remote}
	if peer != nil {
		s.SetRemoteAddr(peer)
	}
	return s, nil
}

// Pair returns the two ends of a TCP connection on loopback: what happens to one is seen at
// the other as it is on any connection, a reset too. Unix sockets have none.
func Pair() (a, b conn.Conn, err error) {
	l, err := listen("127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close() //nolint:errcheck // nobody else knows it
	dialed, err := net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		return nil, nil, err
	}
	a = NewConn(dialed)
	for {
		if b, err = l.Accept(); err != nil {
			_ = a.Reset()
			return nil, nil, err
		}
		if conn.AddrPort(b.RemoteAddr()) == conn.AddrPort(a.LocalAddr()) {
			return a, b, nil
		}
		_ = b.Reset() // a stranger of this machine
	}
}
