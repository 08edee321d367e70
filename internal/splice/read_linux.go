package splice

import (
	"io"

	"golang.org/x/sys/unix"
)

// Read reads what a socket has, if there is no pipe or too little for one. At the end
// it returns io.EOF.
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
