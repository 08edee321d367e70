//go:build unix

package wire

import (
	"bytes"
	"net"
	"syscall"
)

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
