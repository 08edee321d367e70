package transport

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

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
