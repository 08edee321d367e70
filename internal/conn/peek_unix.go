//go:build unix

package conn

import (
	"io"
	"net"
	"os"
	"syscall"
)

// PeekerOf returns a function that copies the next bytes of c to b, and leaves them in c.
// It waits for at least one, within the read deadline. PeekerOf returns nil if c cannot be
// peeked at.
func PeekerOf(c net.Conn) func(b []byte) (n int, err error) {
	tcp := TCPOf(c)
	if tcp == nil { // perhaps because descriptors are short, which a read will report
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return func(b []byte) (n int, err error) {
		rawErr := raw.Read(func(fd uintptr) bool {
			for {
				n, _, err = syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK)
				if err != syscall.EINTR {
					return err != syscall.EAGAIN
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
		return n, nil
	}
}
