package join

import "net"

// Conn is a connection that can be joined. It may be more than that: see
// Socket, Awaited, Waiter and Roomy.
type Conn interface {
	net.Conn
	// CloseWrite ends this side's direction, as FIN does, and leaves the other.
	CloseWrite() error
	// Reset ends both directions at once and closes the connection, so that
	// the peer sees a failure and not an end.
	Reset() error
}

// Socket is a Conn that is a TCP connection. Its bytes may be read and written
// there, past the Conn's own Read and Write.
type Socket interface {
	// TCP gives the connection, or nil if it is none after all.
	TCP() *net.TCPConn
}

// Awaited is a Conn whose owner wants to know when something comes from it.
type Awaited interface {
	// Arrived is called once: with nil when the first bytes have been read, or
	// else with the error that was read instead.
	Arrived(err error)
}

// Waiter is a Conn that can wait without a buffer.
type Waiter interface {
	// WaitReadable returns when Read would not block.
	WaitReadable()
}

// Roomy is a Conn that says before how much it will take, so that no buffer is
// filled with what cannot be written.
type Roomy interface {
	// Room waits until something can be written, and says how much can be
	// without waiting. After an error it gives that.
	Room() (int, error)
}

// tcpOf gives the TCP connection that conn is, or nil.
func tcpOf(conn Conn) *net.TCPConn {
	if c, ok := conn.(Socket); ok {
		return c.TCP()
	}
	return nil
}
