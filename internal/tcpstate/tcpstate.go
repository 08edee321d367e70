// Package tcpstate watches TCP connections that nobody reads from: those of users who
// wait for a relay client, and those of relay clients that wait in a pool. It asks the
// kernel, and leaves every byte where it is.
//
// Only Linux can tell. Elsewhere a watch never fires, and a dead connection is noticed
// when it is used.
package tcpstate

import "net"

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

// Of returns the current state of conn. It is Open for anything but a TCP connection of
// package transport, and on systems that cannot tell.
func Of(conn net.Conn) State {
	if s, ok := socketOf(conn); ok {
		return stateOf(s)
	}
	return Open
}

// socketOf returns the socket of a connection, or of the connection below it if that is
// encrypted or has other addresses.
func socketOf(conn net.Conn) (s socket, ok bool) {
	for {
		if s, ok = conn.(socket); ok {
			return s, true
		}
		on, ok := conn.(interface{ Underlying() net.Conn })
		if !ok {
			return nil, false
		}
		conn = on.Underlying()
	}
}

// socket is implemented by the connections of package transport.
type socket interface {
	// Control calls f with the descriptor, which stays valid meanwhile, or returns an
	// error if the connection is closed.
	Control(f func(fd uintptr)) error
}
