package join

import (
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// controller is a socket whose descriptor can be borrowed.
type controller interface {
	// Control calls f with the descriptor, which is valid meanwhile, or gives an
	// error if the connection is closed.
	Control(f func(fd uintptr)) error
}

// controllerOf gives the socket that conn is or stands on, or nil. Its bytes may
// be others than those of conn.
func controllerOf(c net.Conn) controller {
	for {
		if c, ok := c.(controller); ok {
			return c
		}
		if w, ok := c.(conn.Wrapper); ok {
			c = w.Unwrap()
		} else if on, ok := c.(interface{ Underlying() net.Conn }); ok {
			c = on.Underlying()
		} else {
			return nil
		}
	}
}
