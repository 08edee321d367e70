package transport

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// acceptor accepts for a listener. Connections inherit their settings from the listener's
// socket. It stands on a file, since a listener of the net package registers each
// connection with the runtime's poller.
type acceptor struct {
	file  *os.File
	raw   syscall.RawConn
	local *net.TCPAddr // of all connections, or nil if the kernel has to be asked
}

// newAcceptor takes over tcp.
func newAcceptor(tcp *net.TCPListener) (acceptor, error) {
	defer func() { _ = tcp.Close() }()
	file, err := tcp.File()
	if err != nil {
		return acceptor{}, err
	}
	raw, err := file.SyscallConn()
	local, ok := tcp.Addr().(*net.TCPAddr)
	if !ok || local.IP.IsUnspecified() {
		local = nil
	}
	return acceptor{file, raw, local}, err
}

func (a acceptor) close() error {
	if a.file.Close() != nil {
		return net.ErrClosed
	}
	return nil
}

// accept waits for the next connection.
func (a acceptor) accept() (conn.Conn, error) {
	s := &socket{local: a.local}
	var err error
	closed := a.raw.Read(func(listener uintptr) bool {
		for {
			s.fd, s.remote, err = syscall.Accept4(int(listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			switch err {
			case syscall.EINTR, syscall.ECONNABORTED: // the next one will do
			case syscall.EAGAIN:
				return false
			case syscall.EMFILE, syscall.ENFILE:
				return inQueue(listener) // otherwise no connection waits for it yet
			default:
				return true
			}
		}
	})
	if closed != nil {
		return nil, net.ErrClosed
	}
	if err != nil {
		return nil, os.NewSyscallError("accept4", err)
	}
	return s, nil
}

// inQueue reports whether there is a connection to accept: the kernel takes a descriptor
// before it looks for one.
func inQueue(listener uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}} //nolint:gosec // a descriptor
	n, _ := unix.Poll(fds, 0)
	return n > 0
}
