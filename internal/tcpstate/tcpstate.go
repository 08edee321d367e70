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
	// Ended means that the peer has sent FIN, perhaps behind bytes that nobody read yet.
	Ended
	// Dead means that the connection was reset, or given up by the kernel.
	Dead
)

// Of gives the state of conn at this moment. It is Open for whatever is not a
// TCP connection of package transport, and on systems that cannot tell.
func Of(conn net.Conn) State {
	if tcp := tcpOf(conn); tcp != nil {
		return stateOf(tcp)
	}
	return Open
}

// Watch is a watch over a connection that nobody reads from meanwhile.
type Watch struct{ stop func() }

// Start watches conn until its state is at least until; then it calls fire,
// once, on a goroutine of its own, and is over. Before anybody reads from conn or
// sets its read deadline the caller must Stop a watch that is not over, and may
// Stop any.
func Start(conn net.Conn, until State, fire func()) Watch {
	if tcp := tcpOf(conn); tcp != nil {
		return Watch{start(tcp, until, fire)}
	}
	return Watch{func() {}}
}

// Stop ends the watch, and waits until fire has returned if it was called. It
// clears the read deadline of the connection.
func (w Watch) Stop() { w.stop() }

func tcpOf(conn net.Conn) *net.TCPConn {
	if c, ok := conn.(interface{ TCP() *net.TCPConn }); ok {
		return c.TCP()
	}
	return nil
}
