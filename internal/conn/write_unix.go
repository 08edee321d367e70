//go:build unix

package conn

import (
	"io"
	"syscall"
)

// WriteNow writes what c takes of b without waiting, if it is a Controller, and returns how
// much that was. It leaves errors to the next Write. Nobody else may be writing.
func WriteNow(c Conn, b []byte) (n int) {
	socket, ok := Innermost(c).(Controller)
	if !ok {
		return 0
	}
	_ = socket.Control(func(fd uintptr) { n, _ = syscall.Write(int(fd), b) }) // fails when closed
	return max(n, 0)
}

// ReadNow reads what has come on c, if it is a Controller, without waiting, or returns
// EAGAIN. Nobody else may be reading.
func ReadNow(c Conn, b []byte) (n int, err error) {
	socket, ok := Innermost(c).(Controller)
	if !ok {
		return 0, syscall.EAGAIN
	}
	closed := socket.Control(func(fd uintptr) { n, err = syscall.Read(int(fd), b) })
	switch {
	case closed != nil:
		return 0, closed
	case err == syscall.EINTR:
		return 0, syscall.EAGAIN
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return max(n, 0), err
}
