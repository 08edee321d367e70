//go:build unix

package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/seed96252745/relay/internal/conn"
)

// FirstByte waits for the first byte, within the read deadline of c, and
// leaves it there.
func FirstByte(c conn.Conn) (conn.Conn, byte, error) {
	socket, ok := c.(conn.Socket)
	if !ok {
		return takeFirst(c)
	}
	tcp := socket.TCP()
	if tcp == nil { // descriptors are short: reading will tell
		return takeFirst(c)
	}
	first, err := peekFirst(tcp)
	return c, first, err
}

func peekFirst(tcp *net.TCPConn) (byte, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	first := make([]byte, 1)
	rawErr := raw.Read(func(fd uintptr) bool {
		for {
			n, _, err = syscall.Recvfrom(int(fd), first, syscall.MSG_PEEK)
			if !errors.Is(err, syscall.EINTR) {
				return !errors.Is(err, syscall.EAGAIN)
			}
		}
	})
	switch {
	case rawErr != nil:
		return 0, rawErr
	case err != nil:
		return 0, os.NewSyscallError("recvfrom", err)
	case n == 0:
		return 0, io.EOF
	}
	return first[0], nil
}
