package transport

import (
	"errors"
	"io"
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
// that. The first call that waits makes it a [Conn].
//
// Its methods may be called concurrently.
type socket struct {
	remote syscall.Sockaddr
	local  *net.TCPAddr // or nil: the kernel knows
	named  bool         // by SetRemoteAddr
	young  atomic.Bool  // the socket lacks the settings of settle

	mu       sync.Mutex // guards what follows
	fd       int        // or -1: it is conn's, was given away, or closed
	conn     *Conn      // or nil
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

// known returns the connection as one that the poller knows.
func (s *socket) known() (*Conn, error) {
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
	tcp := conn.(*net.TCPConn)
	_ = tcp.SetKeepAliveConfig(keepAlive()) // the net package has its own idea of it
	s.conn = NewConn(tcp)
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
func (s *socket) hasLeft(known *Conn) bool {
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

// Write writes at once what the kernel takes, which is all of a line.
func (s *socket) Write(b []byte) (int, error) {
	n := s.tryWrite(b)
	if n == len(b) {
		return n, nil
	}
	c, err := s.known()
	if err != nil {
		return n, err
	}
	rest, err := c.Write(b[n:])
	return n + rest, err
}

// TryWrite writes b if the kernel takes all of it.
func (s *socket) TryWrite(b []byte) bool {
	n := s.tryWrite(b)
	if n > 0 && n < len(b) {
		_ = s.Reset() // half of it is worse than none
	}
	return n == len(b)
}

// tryWrite writes what the kernel takes. It leaves errors, and a connection that is
// known, to Conn.
func (s *socket) tryWrite(b []byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 || passed(s.writeBy) {
		return 0
	}
	n, _ := unix.Write(s.fd, b)
	return max(n, 0)
}

// Read reads at once what has come, if something has.
func (s *socket) Read(b []byte) (int, error) {
	if n, err := s.tryRead(b); !errors.Is(err, unix.EAGAIN) {
		return n, err
	}
	c, err := s.known()
	if err != nil {
		return 0, err
	}
	return c.Read(b)
}

// TryRead returns EAGAIN after a deadline, and for a connection that is closed.
func (s *socket) TryRead(b []byte) (n int, err error) {
	s.mu.Lock()
	known := s.conn
	if passed(s.readBy) {
		known = nil
	}
	s.mu.Unlock()
	if known == nil {
		return s.tryRead(b)
	}
	err = unix.EAGAIN
	_ = known.Control(func(fd uintptr) { n, err = readFrom(int(fd), b) })
	return n, err
}

// tryRead is TryRead that leaves a connection that is known to Conn.
func (s *socket) tryRead(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 || passed(s.readBy) {
		return 0, unix.EAGAIN
	}
	return readFrom(s.fd, b)
}

// readFrom reads from a socket that does not block.
func readFrom(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, unix.EAGAIN
	}
	n, err := unix.Read(fd, b)
	switch {
	case err == unix.EAGAIN, err == unix.EINTR:
		return 0, unix.EAGAIN
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

func (s *socket) CloseWrite() error {
	c, err := s.known()
	if err != nil {
		return err
	}
	return c.CloseWrite()
}

func (s *socket) TCP() *net.TCPConn {
	c, err := s.known()
	if err != nil {
		return nil
	}
	return c.TCP()
}

// Unwatch is Conn's.
func (s *socket) Unwatch() error {
	c, err := s.known()
	if err != nil {
		return err
	}
	return c.Unwatch()
}

// AlwaysRead is Conn's.
func (s *socket) AlwaysRead(limit time.Duration) {
	if c, err := s.known(); err == nil {
		c.AlwaysRead(limit)
	}
}

func (s *socket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *socket) SetReadDeadline(t time.Time) error {
	return s.setDeadline(t, &s.readBy, (*Conn).SetReadDeadline)
}

func (s *socket) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(t, &s.writeBy, (*Conn).SetWriteDeadline)
}

// setDeadline sets a deadline for calls that wait, and keeps it for those that do not.
func (s *socket) setDeadline(t time.Time, kept *time.Time, set func(*Conn, time.Time) error) error {
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

func (s *socket) RemoteAddr() net.Addr { return tcpAddr(s.remote) }

func (s *socket) LocalAddr() net.Addr {
	if s.local != nil {
		return s.local
	}
	var local syscall.Sockaddr
	_ = s.Control(func(fd uintptr) { local, _ = syscall.Getsockname(int(fd)) })
	return tcpAddr(local)
}

// sockaddr returns an address as the kernel has it.
func sockaddr(addr *net.TCPAddr) syscall.Sockaddr {
	if ip := addr.IP.To4(); ip != nil {
		return &syscall.SockaddrInet4{Addr: [4]byte(ip), Port: addr.Port}
	}
	return &syscall.SockaddrInet6{Addr: [16]byte(addr.IP.To16()), Port: addr.Port}
}

// tcpAddr returns an address of the kernel's as the net package would.
func tcpAddr(addr syscall.Sockaddr) *net.TCPAddr {
	switch a := addr.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *syscall.SockaddrInet6:
		tcp := &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
		if a.ZoneId != 0 {
			if link, err := net.InterfaceByIndex(int(a.ZoneId)); err == nil {
				tcp.Zone = link.Name
			}
		}
		return tcp
	}
	return &net.TCPAddr{}
}
