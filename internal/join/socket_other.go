//go:build !unix

package join

import (
	"github.com/seed96252745/relay/internal/conn"
)

// socketSource is for systems whose sockets can be waited for without a buffer.
type socketSource struct{}

func newSocketSource(*direction) *socketSource { return nil }

// waiterOf returns what waits for c, or nil.
func waiterOf(c conn.Conn) conn.ReadWaiter {
	w, _ := conn.Innermost(c).(conn.ReadWaiter)
	return w
}

// wasReset cannot be asked: Winsock's getpeername knows of no reset. Winsock is relied
// on to report one to each call.
func wasReset(conn.Conn) bool { return false }

func (*socketSource) copy() (readErr, writeErr error) { panic("never made") }
