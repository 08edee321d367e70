package join

import "net"

// controller is a socket whose descriptor can be borrowed.
type controller interface {
	// Control calls f with the descriptor, which is valid meanwhile, or gives an
	// error if the connection is closed.
	Control(f func(fd uintptr)) error
}

// controllerOf gives the socket that conn is or stands on, or nil. Its bytes may
// be others than those of conn.
func controllerOf(conn net.Conn) controller {
	for {
		if c, ok := conn.(controller); ok {
			return c
		}
		if w, ok := conn.(Wrapper); ok {
			conn = w.Unwrap()
		} else if on, ok := conn.(interface{ Underlying() net.Conn }); ok {
			conn = on.Underlying()
		} else {
			return nil
		}
	}
}
