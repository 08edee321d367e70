// Package tcpstate watches TCP connections that nobody reads from: those of
// users who wait for a relay client, and those of relay clients that wait in a
// pool. It asks the kernel, and leaves every byte where it is.
//
// Only Linux can tell. Elsewhere a watch never fires, and a dead connection is
// noticed when it is used.
package tcpstate

import "net"

// State is what the peer has done.
type State uint8

const (
	// Open means that the peer may still send.
	Open State = iota
	// Silent means that it does not answer: more than one of the kernel's keep-alive
	// probes is out. A NAT that has forgotten the connection looks like that, long
	// before the kernel gives it up. It passes if the peer answers after all, so a
	// watch does not wait for it.
	Silent
	// Ended means that the peer has sent FIN, perhaps behind bytes that nobody read yet.
	Ended
	// Dead means that the connection was reset, or given up by the kernel.
	Dead
)

// Of gives the state of conn at this moment. It is Open for whatever is not a
// TCP connection of package transport, and on systems that cannot tell.
func Of(conn net.Conn) State {
	if s, ok := socketOf(conn); ok {
		return stateOf(s)
	}
	return Open
}

// socketOf gives the socket that a connection is, or that it stands on: one that is
// encrypted, or has another address.
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

// socket is what connections of package transport are.
type socket interface {
	// Control calls f with the descriptor, which is valid meanwhile, or gives an
	// error if the connection is closed.
	Control(f func(fd uintptr)) error
}
