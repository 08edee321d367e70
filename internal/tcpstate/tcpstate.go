// Package tcpstate watches TCP connections that nobody reads from: those of users who
// wait for a relay client, and those of relay clients that wait in a pool. It asks the
// kernel, and leaves every byte where it is.
//
// Only Linux can tell. Elsewhere a watch never fires, and a dead connection is noticed
// when it is used.
package tcpstate

import (
	"net"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// State is the state of the peer.
type State uint8

const (
	// Open means that the peer may still send.
	Open State = iota
	// Silent means that the peer does not answer: more than one of the kernel's
	// keep-alive probes is unanswered. A NAT that has forgotten the connection looks
	// like that, long before the kernel gives it up. The state passes if the peer
	// answers after all, so a watch does not wait for it.
	Silent
	// Ended means that the peer has sent FIN, perhaps behind bytes that nobody read yet.
	Ended
	// Dead means that the connection was reset, or that the kernel has given it up.
	Dead
)

// Of returns the current state of c. It is Open for anything but a TCP connection of
// package transport, and on systems that cannot tell.
func Of(c net.Conn) State {
	if s, ok := conn.As[conn.Controller](c); ok {
		return stateOf(s)
	}
	return Open
}

// Unacknowledged returns how long ago the last acknowledgment of c's peer came if some of
// what was sent to it is unacknowledged, or else zero. A peer whose process hangs does
// acknowledge, until its buffers are full, and answers attempts to send more after that. It
// is zero for anything but a TCP connection of package transport, and on systems that
// cannot tell.
func Unacknowledged(c net.Conn) time.Duration {
	if s, ok := conn.As[conn.Controller](c); ok {
		return unacknowledgedBy(s)
	}
	return 0
}
