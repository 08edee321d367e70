//go:build unix

package wire

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
)

// peekerOf returns nil for a connection that cannot be peeked at.
func peekerOf(conn net.Conn) peekFunc {
	// Only TCP sockets themselves: on a layer above one, such as TLS, the socket's
	// bytes are not the connection's.
	c, ok := conn.(interface{ TCP() *net.TCPConn })
	if !ok {
		return nil
	}
	tcp := c.TCP()
	if tcp == nil { // descriptors are short; a read will report it
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

// TryReadClaim reads a claim that has come completely. Otherwise it returns false, and
// has consumed nothing. It never waits, as the descriptors of connections are
// non-blocking.
func TryReadClaim(conn net.Conn, verbs []Verb) (Request, bool) {
	c, ok := conn.(interface{ Control(func(fd uintptr)) error })
	if !ok {
		return Request{}, false
	}
	var req Request
	consumed := false
	_ = c.Control(func(fd uintptr) { // fails when closed
		buf := make([]byte, maxVerb+maxID)
		n, _, err := syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK)
		if err != nil {
			return
		}
		rest := bytes.NewReader(buf[:n])
		if req, err = ReadRequest(rest, verbs); err != nil || !req.IsClaim() {
			return
		}
		size := n - rest.Len()
		n, err = syscall.Read(int(fd), buf[:size])
		consumed = err == nil && n == size
	})
	return req, consumed
}
