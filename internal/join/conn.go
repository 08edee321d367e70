package join

import "net"

// Conn is a connection that can be joined. It may be more than that: see
// Socket, Detachable, Stream, Awaited, Waiter, Roomy and Wrapper.
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
	// else with the error that was read instead. It must not wait, nor use the
	// connection.
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

// Detachable is a Socket that an event loop can serve.
type Detachable interface {
	// Detach gives the socket away: the descriptor is the caller's to close,
	// and the runtime's poller does not know it. From then on the Conn's Read
	// and Write fail with net.ErrClosed, and the first Close or Reset calls
	// end. After an error nothing has changed.
	Detach(end func()) (fd int, err error)
}

// Stream is a Conn whose bytes come and go over a connection that it shares
// with others, and that never has to be waited for.
type Stream interface {
	// Attach has arrived called when there is something for PourTo, and roomy
	// when FillFrom is possible again. Neither may wait; roomy may be called
	// from within any call to any stream, arrived may not.
	Attach(arrived, roomy func())
	// PourTo writes to a socket what has come from the peer. It stops when that
	// is all, at an error that the stream ends with, which is io.EOF in the end,
	// or at one of the socket, such as EAGAIN.
	PourTo(socket int) (n int, streamErr, socketErr error)
	// FillFrom reads a portion from a socket and sends it. It gives EAGAIN for
	// the stream if the peer cannot take more at the moment, and the socket's
	// error, such as EAGAIN too, or io.EOF. Short says that the socket gave
	// less than it could have.
	FillFrom(socket int) (n int, short bool, streamErr, socketErr error)
	// Flush sends what FillFrom has gathered.
	Flush()
	// Failed gives the error that the stream has ended with in both directions,
	// of which arrived has told, or nil if it has not. PourTo may still have
	// bytes that came before.
	Failed() error
}

// Wrapper is a Conn around another one that wants to see how it ends (and
// begins, if it is Awaited), and leaves its bytes alone.
type Wrapper interface {
	Unwrap() Conn
}

// innermost gives the Conn that has the bytes.
func innermost(conn Conn) Conn {
	for {
		w, ok := conn.(Wrapper)
		if !ok {
			return conn
		}
		conn = w.Unwrap()
	}
}

// tcpOf gives the TCP connection that conn is, or nil.
func tcpOf(conn Conn) *net.TCPConn {
	if c, ok := innermost(conn).(Socket); ok {
		return c.TCP()
	}
	return nil
}
