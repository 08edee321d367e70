//go:build unix

package wire

import (
	"io"
	"net"
	"os"
	"syscall"
)

// peekerOf gives nil for a connection that cannot be peeked at.
func peekerOf(conn net.Conn) peekFunc {
	// Only for what is a TCP socket itself: on a connection that stands on top
	// of one, such as TLS, the socket's bytes are not the connection's.
	c, ok := conn.(interface{ TCP() *net.TCPConn })
	if !ok {
		return nil
	}
	raw, err := c.TCP().SyscallConn()
	if err != nil {
		return nil
	}
	return func(b []byte) (n int, err error) {
		rawErr := raw.Read(func(fd uintptr) bool {
			for {
				n, _, err = syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK)
				if err != syscall.EINTR {
					break
				}
			}
			return err != syscall.EAGAIN
		})
		switch {
		case rawErr != nil:
			return 0, rawErr
		case err != nil:
			return 0, os.NewSyscallError("recvfrom", err)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}
