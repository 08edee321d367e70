package splice

import (
	"io"

	"golang.org/x/sys/unix"
)

// Read copies what a socket has, for whoever has no pipe or not enough for one.
// At the end it gives io.EOF.
func Read(socket int, b []byte) (int, error) {
	for {
		n, err := unix.Read(socket, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
