//go:build unix

package conn

import "syscall"

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
