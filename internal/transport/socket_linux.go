package transport

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// socket is a connection that the runtime's poller does not know yet. Most connections are
// accepted or dialled, perhaps watched, and joined, for which a descriptor is enough;
// registering them with the poller and removing them again would cost as much as all of
// that. The first call that waits makes it a [Conn], or a unixConn.
//
// It is one to a Unix socket, too, and then lacks only what TCP alone has.
//
// Its methods may be called concurrently.
type socket struct {
	remote syscall.Sockaddr
	local  *net.TCPAddr // or nil: the kernel knows
	named  bool         // by SetRemoteAddr
	young  atomic.Bool  // the socket lacks the settings of settle

	mu       sync.Mutex // guards what follows
	fd       int        // or -1: it is conn's, was given away, or closed
	conn     polled     // or nil
	closed   bool
	detached func() // see Detach
	// Deadlines, of conn too.
	readBy, writeBy time.Time
}

var (
	_ conn.Conn          = (*socket)(nil)
	_ conn.TryReadWriter = (*socket)(nil)
	_ conn.Detachable    = (*socket)(nil)
	_ conn.Polled        = (*socket)(nil)
	_ conn.Settler       = (*socket)(nil)
)

// polled is a connection that the runtime's poller knows: a Conn, or a unixConn.
type polled interface {
	conn.Conn
	conn.Controller
	conn.Detachable
	syscall.Conn
	end(linger int) error
}

// known returns the connection as one that the poller knows.
func (s *socket) known() (polled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		return s.conn, nil
	}
	if s.fd < 0 {
		return nil, net.ErrClosed
	}
	s.Settle(s.fd)
	// The net package takes no descriptor but for a duplicate.
	file := os.NewFile(uintptr(s.fd), "")
	s.fd = -1
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return nil, err // descriptors are short; the peer sees a reset
	}
	switch c := conn.(type) {
	case *net.UnixConn:
		s.conn = &unixConn{UnixConn: c}
	case *net.TCPConn:
		_ = c.SetKeepAliveConfig(keepAlive()) // the net package has its own idea of it
		s.conn = NewConn(c)
	}
	if !s.readBy.IsZero() {
		_ = s.conn.SetReadDeadline(s.readBy)
	}
	if !s.writeBy.IsZero() {
		_ = s.conn.SetWriteDeadline(s.writeBy)
	}
	return s.conn, nil
}

// Settled is conn.Settler's.
func (s *socket) Settled() bool { return !s.young.Load() }

// Settle is conn.Settler's.
func (s *socket) Settle(fd int) {
	if s.young.Load() && s.young.CompareAndSwap(true, false) {
		_ = settle(fd) // fails only on a connection that is dead
	}
}

// LeavePoller is conn.Polled's. No call may be waiting.
func (s *socket) LeavePoller() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	fd, err := s.conn.Detach(func() {})
	if err == nil {
		s.fd, s.conn = fd, nil
	}
	return err
}

// Control calls f with the descriptor, which is valid meanwhile.
func (s *socket) Control(f func(fd uintptr)) error {
	s.mu.Lock()
	if s.fd >= 0 {
		defer s.mu.Unlock()
		f(uintptr(s.fd))
		return nil
	}
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return net.ErrClosed
	}
	err := conn.Control(f)
	if err != nil && s.hasLeft(conn) { // LeavePoller was called meanwhile
		return s.Control(f)
	}
	return err
}

// hasLeft reports whether LeavePoller has taken the socket from known.
func (s *socket) hasLeft(known polled) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != known
}

// Detach is Conn's, and costs nothing here.
func (s *socket) Detach(end func()) (fd int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn != nil:
		return s.conn.Detach(end)
	case s.fd < 0:
		return -1, net.ErrClosed
	}
	fd, s.fd, s.detached = s.fd, -1, end
	return fd, nil
}

func (s *socket) Close() error { return s.end(-1) }

func (s *socket) Reset() error { return s.end(0) }

func (s *socket) end(linger int) error {
	s.mu.Lock()
	first, known, fd, detached := !s.closed, s.conn, s.fd, s.detached
	s.closed, s.fd = true, -1
	s.mu.Unlock()
	switch {
	case known != nil:
		return known.end(linger)
	case !first:
		return net.ErrClosed
	case detached != nil:
		detached()
	case fd >= 0:
		if linger < 0 {
			conn.PrepareClose(fd)
		}
		return os.NewSyscallError("close", unix.Close(fd))
	}
	return nil
}

func (s *socket) CloseWrite() error {
	c, err := s.known()
	if err != nil {
		return err
	}
	return c.CloseWrite()
}

// SyscallConn is for what only the socket can tell or do.
func (s *socket) SyscallConn() (syscall.RawConn, error) {
	c, err := s.known()
	if err != nil {
		return nil, err
	}
	return c.SyscallConn()
}

// TCP returns nil if it is a Unix socket.
func (s *socket) TCP() *net.TCPConn {
	if c := s.tcp(); c != nil {
		return c.TCP()
	}
	return nil
}

// tcp is known for what TCP alone has. It returns nil if this is a Unix socket, or closed.
func (s *socket) tcp() *Conn {
	known, _ := s.known()
	c, _ := known.(*Conn)
	return c
}

// Unwatch is Conn's.
func (s *socket) Unwatch() error {
	if c := s.tcp(); c != nil {
		return c.Unwatch()
	}
	return net.ErrClosed
}

// AlwaysRead is Conn's.
func (s *socket) AlwaysRead(limit time.Duration) {
	if c := s.tcp(); c != nil {
		c.AlwaysRead(limit)
	}
}

func (s *socket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *socket) SetReadDeadline(t time.Time) error {
	return s.setDeadline(t, &s.readBy, polled.SetReadDeadline)
}

func (s *socket) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(t, &s.writeBy, polled.SetWriteDeadline)
}

// setDeadline sets a deadline for calls that wait, and keeps it for those that do not.
func (s *socket) setDeadline(t time.Time, kept *time.Time, set func(polled, time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil && s.fd < 0 {
		return net.ErrClosed
	}
	*kept = t
	if s.conn != nil {
		return set(s.conn, t)
	}
	return nil
}

// SetRemoteAddr is Conn's.
func (s *socket) SetRemoteAddr(peer *net.TCPAddr) {
	s.named, s.remote = true, sockaddr(peer)
}

// Named is Conn's.
func (s *socket) Named() bool { return s.named }

func (s *socket) RemoteAddr() net.Addr { return netAddr(s.remote) }

func (s *socket) LocalAddr() net.Addr {
	if s.local != nil {
		return s.local
	}
	var local syscall.Sockaddr
	_ = s.Control(func(fd uintptr) { local, _ = syscall.Getsockname(int(fd)) })
	return netAddr(local)
}
