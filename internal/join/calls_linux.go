package join

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// closeWrite ends the direction to e.
func (e *end) closeWrite() error {
	if e.stream != nil {
		return e.conn.CloseWrite()
	}
	err := unix.Shutdown(e.fd, unix.SHUT_WR)
	if err == unix.ENOTCONN {
		return ErrReset
	}
	return os.NewSyscallError("shutdown", err)
}

// AtEnd has a stream send what it has gathered. It is called without the join's
// lock, perhaps after the join has ended.
func (e *end) AtEnd() {
	c := caught(e.stream.Flush)
	if c == nil {
		return
	}
	e.join.mu.Lock()
	defer e.join.mu.Unlock()
	e.join.crashed(c)
}

// writeSocket writes what the socket takes.
func writeSocket(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Write(fd, b)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// failure returns the error of a system call, with its name.
func failure(call string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return os.NewSyscallError(call, err)
	}
	return err
}
