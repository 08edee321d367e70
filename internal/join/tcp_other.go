//go:build !linux

package join

import (
	"net"
	"time"
)

// wasReset cannot be asked here; a reset is then noticed only by a read or a
// write that fails.
func wasReset(Conn) bool { return false }

// waitAcknowledged cannot be asked here either: a reset may overtake the last
// bytes.
func waitAcknowledged(*net.TCPConn, time.Duration) {}

// socketSource is for systems where sockets can be asked more than net does.
type socketSource struct{}

func newSocketSource(*direction) *socketSource { return nil }

func (*socketSource) copy() (readErr, writeErr error) { panic("never made") }
