// Package conn defines what a connection of Relay is, and what else it may be able to do.
// All other packages have connections, and conn knows none of those packages.
package conn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Conn is a connection that can be joined. It may implement more than that: see Socket,
// Controller, Detachable, Polled, Settler, Stream, Flusher, ReadNotifier, ReadWaiter, WriteWaiter, Failer,
// TryReadWriter, Notifier and Wrapper.
type Conn interface {
	net.Conn
	// CloseWrite ends this side's direction, as FIN does, and leaves the other.
	CloseWrite() error
	// Reset ends both directions at once and closes the connection, so that
	// the peer sees a failure and not an end.
	Reset() error
}

// ErrTruncated is the error of reading a TLS connection when TCP has ended without
// close_notify: an attacker who can reach the wire can fake such an end. It wraps
// io.ErrUnexpectedEOF.
var ErrTruncated = fmt.Errorf("the TLS connection was cut off: TCP ended without close_notify: %w", io.ErrUnexpectedEOF)

// Listener is where connections come from.
type Listener interface {
	// Accept waits for a connection. After Close it returns net.ErrClosed.
	Accept() (Conn, error)
	Addr() net.Addr
	Close() error
}

// TryListener is a Listener that an event loop can watch. Either that, or Accept is used.
type TryListener interface {
	Listener
	// TryAccept is Accept if that takes no waiting. Otherwise it returns EAGAIN.
	TryAccept() (Conn, error)
	// Watch calls watch with the descriptor, and, if watch returns nil, has the first Close
	// call closed, until when the descriptor is valid.
	Watch(watch func(fd uintptr) error, closed func()) error
}

// Socket is a Conn that is a TCP connection. Its bytes may be read and written
// there, past the Conn's own Read and Write.
type Socket interface {
	// TCP returns the connection, or nil if there is none after all. Closing that
	// resets it.
	TCP() *net.TCPConn
}

// Controller is a Conn that is a socket, known to the runtime's poller or not.
type Controller interface {
	// Control calls f with the descriptor, which is valid meanwhile, or returns an
	// error if the connection is closed.
	Control(f func(fd uintptr)) error
}

// Detachable is a Controller that an event loop can serve.
type Detachable interface {
	// Detach gives the socket away: the descriptor is the caller's to close,
	// and the runtime's poller does not know it. From then on the Conn's Read
	// and Write fail with net.ErrClosed, and the first Close or Reset calls
	// end. After an error nothing has changed.
	Detach(end func()) (fd int, err error)
}

// Polled is a Conn that the runtime's poller may know.
type Polled interface {
	// LeavePoller removes it from there, until a call waits: it is watched elsewhere. After
	// an error nothing has changed.
	LeavePoller() error
}

// Settler is a Conn whose socket may lack settings, at first, that matter only to a
// connection that lives on.
type Settler interface {
	// Settled reports whether it has all settings.
	Settled() bool
	// Settle makes the settings that are missing on the socket fd. It is called within a
	// few seconds; most connections have ended by then.
	Settle(fd int)
}

// ReadNotifier is a Conn whose owner wants to know when something comes from it.
type ReadNotifier interface {
	// NotifyRead is called with nil when the first bytes have been read, or else with
	// the error that was read instead. Further calls mean nothing. It must not wait,
	// nor use the connection.
	NotifyRead(err error)
}

// ReadWaiter is a Conn that can wait for bytes without a buffer.
type ReadWaiter interface {
	// WaitReadable returns when Read would not block.
	WaitReadable()
}

// Failer is a Conn that its owner may end while nobody reads or writes it.
type Failer interface {
	// OnFail has f called once when that happens, or at once if it has. F must not wait.
	OnFail(f func(error))
}

// WriteWaiter is a Conn that reports in advance how much it takes, so that no buffer is
// filled with bytes that cannot be written.
type WriteWaiter interface {
	// WaitWritable waits until something can be written, and returns how much can be
	// without waiting, or the error that Write would return.
	WaitWritable() (int, error)
}

// TryReadWriter is a Conn that can be read and written by a caller that cannot wait.
type TryReadWriter interface {
	// TryRead is Read if that takes no waiting. Otherwise it returns EAGAIN.
	TryRead(b []byte) (int, error)
	// TryWrite writes all of b if that takes no waiting, or else none of it, and reports
	// which. It is for a few bytes at the beginning, which always fit.
	TryWrite(b []byte) bool
}

// Notifier is a TryReadWriter that reports when there is something to read.
type Notifier interface {
	// OnReadable has f called whenever TryRead may return something, or the end. F must not
	// wait.
	OnReadable(f func())
}

// Flusher is a Conn that may hold what was written to it until Flush.
type Flusher interface {
	// Flush sends what has been gathered.
	Flush()
}

// Stream is a Conn whose bytes come and go over a connection that it shares
// with others, and that never has to be waited for.
type Stream interface {
	Flusher // of what FillFrom has read
	// Attach has onReadable called when there is something for PourTo, and onWritable
	// when FillFrom is possible again. Neither may wait. Any call to any stream may call
	// onWritable, but not onReadable.
	Attach(onReadable, onWritable func())
	// PourTo writes to a socket what has come from the peer. It stops when that
	// is all, at an error that the stream ends with, which is io.EOF in the end,
	// or at one of the socket, such as EAGAIN.
	PourTo(socket int) (n int, streamErr, socketErr error)
	// FillFrom reads a portion from a socket and sends it. It returns EAGAIN for
	// the stream if the peer cannot take more at the moment, and the socket's
	// error, such as EAGAIN too, or io.EOF. Short reports that the socket gave
	// less than it could have.
	FillFrom(socket int) (n int, short bool, streamErr, socketErr error)
	// Failed returns the error that the stream has ended with in both directions,
	// once onReadable has been called for it, or nil. PourTo may still have bytes that
	// came before.
	Failed() error
}

// Wrapper is a Conn around another one.
type Wrapper interface {
	// Unwrap returns the connection inside, and whether it has the same bytes, so that
	// they may be read and written there. TLS, for one, has others.
	Unwrap() (inner Conn, sameBytes bool)
}

// Innermost returns the Conn where the bytes of c come from.
func Innermost(c Conn) Conn {
	if inner := within(c); inner != nil {
		return Innermost(inner)
	}
	return c
}

// within returns the Conn inside c that has the same bytes, or nil.
func within(c net.Conn) Conn {
	if w, ok := c.(Wrapper); ok {
		if inner, sameBytes := w.Unwrap(); sameBytes {
			return inner
		}
	}
	return nil
}

// As returns the first T of c and the connections inside it, whatever their bytes: what
// becomes of the socket below is asked there.
func As[T any](c net.Conn) (t T, ok bool) {
	for {
		if t, ok = c.(T); ok {
			return t, true
		}
		w, ok := c.(Wrapper)
		if !ok {
			return t, false
		}
		c, _ = w.Unwrap()
	}
}

// Settle has c, whose socket is fd, make the settings that it lacks.
func Settle(c Conn, fd int) {
	if s, ok := Innermost(c).(Settler); ok {
		s.Settle(fd)
	}
}

// SettleNow is Settle for a caller that does not have the socket.
func SettleNow(c Conn) {
	inner := Innermost(c)
	if s, ok := inner.(Settler); ok && !s.Settled() {
		if socket, ok := inner.(Controller); ok {
			_ = socket.Control(func(fd uintptr) { s.Settle(int(fd)) }) // fails if it is closed
		}
	}
}

// TCPOf returns the TCP connection that c is, or nil.
func TCPOf(c net.Conn) *net.TCPConn {
	if inner := within(c); inner != nil {
		return TCPOf(inner)
	}
	if s, ok := c.(Socket); ok {
		return s.TCP()
	}
	return nil
}

// TryRead reads from c if it is a TryReadWriter, and notifies its owners of what comes.
// If that takes waiting, or c is none, it returns EAGAIN.
func TryRead(c Conn, b []byte) (int, error) {
	t, ok := Innermost(c).(TryReadWriter)
	if !ok {
		return 0, syscall.EAGAIN
	}
	n, err := t.TryRead(b)
	switch {
	case n > 0:
		NotifyRead(c, nil)
	case err != nil && !errors.Is(err, syscall.EAGAIN):
		NotifyRead(c, err)
	}
	return n, err
}

// TryWrite writes all of b to c, if it is a TryReadWriter and that takes no waiting, or
// none of it, and reports which.
func TryWrite(c Conn, b []byte) bool {
	t, ok := Innermost(c).(TryReadWriter)
	return ok && t.TryWrite(b)
}

// Flush has c, if it is a Flusher, send what it has gathered.
func Flush(c Conn) {
	if f, ok := Innermost(c).(Flusher); ok {
		f.Flush()
	}
}

// NotifyRead notifies all owners of c of what has come.
func NotifyRead(c Conn, err error) {
	for ; c != nil; c = within(c) {
		if owner, ok := c.(ReadNotifier); ok {
			owner.NotifyRead(err)
		}
	}
}

// AddrPort returns the IP address and the port of a, or the zero AddrPort if it has none.
// Peers are compared by it: an IPv4 address is the same one on a socket that takes both
// families, and there is no zone.
func AddrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case nil:
	case interface{ AddrPort() netip.AddrPort }: // *net.TCPAddr
		ap = a.AddrPort()
	default:
		ap, _ = netip.ParseAddrPort(a.String())
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// Named reports whether a load balancer has named the peer of c, in a PROXY header.
func Named(c net.Conn) bool {
	n, ok := As[interface{ Named() bool }](c)
	return ok && n.Named()
}

// ComesFrom reports whether the peer of c has an address in one of the networks.
func ComesFrom(c net.Conn, networks []netip.Prefix) bool {
	if len(networks) == 0 {
		return false
	}
	from := AddrPort(c.RemoteAddr()).Addr()
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(from) })
}
