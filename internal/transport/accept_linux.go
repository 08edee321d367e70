package transport

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// acceptor accepts for a listener. Connections inherit their settings from the listener's
// socket, and the runtime's poller does not know them, as it would those of the net
// package.
//
// Nor does it know the listener's socket, until the first call that waits: a listener that
// an event loop watches would have the poller wake up for nothing.
type acceptor struct {
	local *net.TCPAddr // of all connections, or nil if the kernel has to be asked

	mu       sync.Mutex // guards what follows
	fd       int        // or -1: it is file's, or closed
	file     *os.File   // or nil
	closed   bool
	detached func() // see NotifyClose
}

var _ conn.TryListener = (*Listener)(nil)

// newAcceptor takes over tcp.
func newAcceptor(tcp *net.TCPListener) (*acceptor, error) {
	defer func() { _ = tcp.Close() }()
	fd, err := duplicate(tcp)
	if err != nil {
		return nil, err
	}
	local, ok := tcp.Addr().(*net.TCPAddr)
	if !ok || local.IP.IsUnspecified() {
		local = nil
	}
	return &acceptor{local: local, fd: fd}, nil
}

// close closes the socket. Who watches it is told first: an event loop that did not remove the
// socket would go on waking up for it where another process has it, too (see Share).
func (a *acceptor) close() error {
	a.mu.Lock()
	first, file, fd, detached := !a.closed, a.file, a.fd, a.detached
	a.closed, a.fd = true, -1 // nobody uses the number any more
	a.mu.Unlock()
	if !first {
		return net.ErrClosed
	}
	if detached != nil {
		detached()
	}
	if file != nil {
		return file.Close()
	}
	_ = unix.Close(fd)
	return nil
}

// accept waits for the next connection.
func (a *acceptor) accept() (conn.Conn, error) {
	raw, err := a.known()
	if err != nil {
		return nil, err
	}
	var c conn.Conn
	closed := raw.Read(func(listener uintptr) bool {
		c, err = a.tryAccept(int(listener))
		return !errors.Is(err, syscall.EAGAIN)
	})
	if closed != nil {
		return nil, net.ErrClosed
	}
	return c, err
}

// known returns the socket as one that the poller knows.
func (a *acceptor) known() (syscall.RawConn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		if a.fd < 0 {
			return nil, net.ErrClosed
		}
		a.file, a.fd = os.NewFile(uintptr(a.fd), ""), -1
	}
	return a.file.SyscallConn()
}

// TryAccept is conn.TryListener's. It leaves a listener for which somebody waits to Accept.
func (l *Listener) TryAccept() (conn.Conn, error) {
	a := l.acceptor
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fd < 0 {
		return nil, syscall.EAGAIN
	}
	return a.tryAccept(a.fd)
}

// Watch is conn.TryListener's.
func (l *Listener) Watch(watch func(fd uintptr) error, closed func()) error {
	a := l.acceptor
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fd < 0 {
		return net.ErrClosed
	}
	err := watch(uintptr(a.fd))
	if err == nil {
		a.detached = closed
	}
	return err
}

// tryAccept accepts the next connection of a listener. Without one it returns EAGAIN.
func (a *acceptor) tryAccept(listener int) (conn.Conn, error) {
	for {
		fd, remote, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch err {
		case nil:
			return &socket{fd: fd, local: a.local, remote: remote}, nil
		case syscall.EINTR, syscall.ECONNABORTED: // the next one will do
		case syscall.EMFILE, syscall.ENFILE:
			if !inQueue(listener) { // otherwise no connection waits for it yet
				return nil, syscall.EAGAIN
			}
			return nil, os.NewSyscallError("accept4", err)
		case syscall.EAGAIN:
			return nil, err
		default:
			return nil, os.NewSyscallError("accept4", err)
		}
	}
}

// inQueue reports whether there is a connection to accept: the kernel takes a descriptor
// before it looks for one.
func inQueue(listener int) bool {
	fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}} //nolint:gosec // a descriptor
	n, _ := unix.Poll(fds, 0)
	return n > 0
}
