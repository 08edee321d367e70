//go:build unix

package conn

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// PeekByte waits for the first byte, within the read deadline of c, and leaves it
// there, or returns a connection that still has it.
func PeekByte(c Conn) (Conn, byte, error) {
	tcp := TCPOf(c)
	if tcp == nil { // it may be that descriptors are short: reading will tell
		return takeByte(c)
	}
	first, err := peekTCP(tcp)
	return c, first, err
}

func peekTCP(tcp *net.TCPConn) (byte, error) {
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
