//go:build unix

package wire

import (
	"bytes"
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
	tcp := c.TCP()
	if tcp == nil { // descriptors are short: reading will tell
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

// ReadClaimNow reads a claim of which every byte has come already. Otherwise it
// gives false, and nothing has been taken out of the connection. It never waits,
// as descriptors of connections are not blocking.
func ReadClaimNow(conn net.Conn, verbs []Verb) (Request, bool) {
	c, ok := conn.(interface{ Control(func(fd uintptr)) error })
	if !ok {
		return Request{}, false
	}
	var req Request
	taken := false
	_ = c.Control(func(fd uintptr) { // fails when closed
		buf := make([]byte, maxVerb+maxID)
		n, _, err := syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK)
		if err != nil {
			return
		}
		come := bytes.NewReader(buf[:n])
		if req, err = ReadRequest(come, verbs); err != nil || !req.IsClaim() {
			return
		}
		size := n - come.Len()
		n, err = syscall.Read(int(fd), buf[:size])
		taken = err == nil && n == size
	})
	return req, taken
}
