// Package conn holds what a connection of Relay is, and what else it may be able to do.
package conn

import (
	"errors"
	"net"
	"syscall"
)

// Conn is a connection that can be joined. It may be more than that: see
// Socket, Detachable, Stream, Flusher, ReadNotifier, ReadWaiter, WriteWaiter, TryReadWriter, Drainer,
// Wrapper and Carrier.
type Conn interface {
	net.Conn
	// CloseWrite ends this side's direction, as FIN does, and leaves the other.
	CloseWrite() error
	// Reset ends both directions at once and closes the connection, so that
	// the peer sees a failure and not an end.
	Reset() error
}

// Listener is where connections come from.
type Listener interface {
	// Accept waits for a connection. After Close it returns net.ErrClosed.
	Accept() (Conn, error)
	Addr() net.Addr
	Close() error
}

// Socket is a Conn that is a TCP connection. Its bytes may be read and written
// there, past the Conn's own Read and Write.
type Socket interface {
	// TCP gives the connection, or nil if it is none after all. Closing that
	// resets it.
	TCP() *net.TCPConn
}

// ReadNotifier is a Conn whose owner wants to know when something comes from it.
type ReadNotifier interface {
	// NotifyRead is called with nil when the first bytes have been read, or else with
	// the error that was read instead. It may be called again, which means nothing.
	// It must not wait, nor use the connection.
	NotifyRead(err error)
}

// ReadWaiter is a Conn that can wait without a buffer.
type ReadWaiter interface {
	// WaitReadable returns when Read would not block.
	WaitReadable()
}

// WriteWaiter is a Conn that says before how much it will take, so that no buffer is
// filled with what cannot be written.
type WriteWaiter interface {
	// WaitWritable waits until something can be written, and says how much can be
	// without waiting. After an error it gives that.
	WaitWritable() (int, error)
}

// TryReadWriter is a Conn that can be tried by somebody who cannot wait.
type TryReadWriter interface {
	// TryRead is Read if that takes no waiting. Otherwise it gives EAGAIN.
	TryRead(b []byte) (int, error)
	// TryWrite writes all of b if that takes no waiting, or else none of it. It is
	// for a few bytes at the beginning, which always fit.
	TryWrite(b []byte) bool
}

// TryRead reads from a TryReadWriter, and tells all owners of conn if something came. It
// gives EAGAIN if conn is none.
func TryRead(conn Conn, b []byte) (int, error) {
	p, ok := Innermost(conn).(TryReadWriter)
	if !ok {
		return 0, syscall.EAGAIN
	}
	n, err := p.TryRead(b)
	switch {
	case n > 0:
		NotifyRead(conn, nil)
	case err != nil && !errors.Is(err, syscall.EAGAIN):
		NotifyRead(conn, err)
	}
	return n, err
}

// TryWrite writes all of b to a TryReadWriter, if that takes no waiting, or none of it.
func TryWrite(conn Conn, b []byte) bool {
	p, ok := Innermost(conn).(TryReadWriter)
	return ok && p.TryWrite(b)
}

// Flusher is a Conn that may keep what was given to it until it is told that there
// is no more for now.
type Flusher interface {
	// Flush sends what has been gathered.
	Flush()
}

// Flush has a Flusher send what it has gathered.
func Flush(conn Conn) {
	if f, ok := Innermost(conn).(Flusher); ok {
		f.Flush()
	}
}

// Drainer is a Conn that is no Socket, and of which a reset destroys what its
// peer does not have yet.
type Drainer interface {
	// Drain returns when the peer has all that was written, or after the
	// time that Drain gives a socket.
	Drain()
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
	Flusher // of what FillFrom has read
	// Attach has readable called when there is something for PourTo, and writable
	// when FillFrom is possible again. Neither may wait; writable may be called
	// from within any call to any stream, readable may not.
	Attach(readable, writable func())
	// PourTo writes to a socket what has come from the peer. It stops when that
	// is all, at an error that the stream ends with, which is io.EOF in the end,
	// or at one of the socket, such as EAGAIN.
	PourTo(socket int) (n int, streamErr, socketErr error)
	// FillFrom reads a portion from a socket and sends it. It gives EAGAIN for
	// the stream if the peer cannot take more at the moment, and the socket's
	// error, such as EAGAIN too, or io.EOF. Short says that the socket gave
	// less than it could have.
	FillFrom(socket int) (n int, short bool, streamErr, socketErr error)
	// Failed gives the error that the stream has ended with in both directions,
	// of which readable has told, or nil if it has not. PourTo may still have
	// bytes that came before.
	Failed() error
}

// Wrapper is a Conn around another one that wants to see how it ends (and
// begins, if it is ReadNotifier), and leaves its bytes alone.
type Wrapper interface {
	Unwrap() Conn
}

// Carrier is a Conn around another one, whose bytes it carries itself and leaves
// as they are. What has become of that one is asked of it, and not of the Carrier.
type Carrier interface {
	Carried() Conn
}

// Innermost gives the Conn that has the bytes.
func Innermost(conn Conn) Conn {
	for {
		w, ok := conn.(Wrapper)
		if !ok {
			return conn
		}
		conn = w.Unwrap()
	}
}

// NotifyRead tells all owners of conn that something has come.
func NotifyRead(conn Conn, err error) {
	for conn != nil {
		if owner, ok := conn.(ReadNotifier); ok {
			owner.NotifyRead(err)
		}
		w, ok := conn.(Wrapper)
		if !ok {
			return
		}
		conn = w.Unwrap()
	}
}

// Carried gives the Conn that has the bytes in the end.
func Carried(conn Conn) Conn {
	for {
		conn = Innermost(conn)
		c, ok := conn.(Carrier)
		if !ok {
			return conn
		}
		conn = c.Carried()
	}
}

// TCPOf gives the TCP connection that conn is, or nil.
func TCPOf(conn Conn) *net.TCPConn {
	if c, ok := Innermost(conn).(Socket); ok {
		return c.TCP()
	}
	return nil
}
