// Package transport makes the connections between user, relay, relay client and local
// server: listening and dialling, the kernel's settings for each leg, and the [Conn] that
// the rest of Relay works on.
//
// Between relay client and relay there may be TLS, on the same port as plain text, from
// which the first byte distinguishes it: [Secure] is the relay's side, [SecureRelay] the
// client's, and both return a [TLSConn]. Other packages decide where certificates come
// from.
//
// Apart from handshakes it reads and writes nothing by itself.
package transport

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// Conn is a TCP connection whose peer sees an end only if Relay has ended it: Close sends
// FIN, Reset sends RST, and if the process is killed the kernel sends RST too, because
// Conn sets SO_LINGER to zero for as long as it lives. So a truncated answer never passes
// for a whole one.
//
// Its methods may be called concurrently, Close and Reset any number of times.
type Conn struct {
	*net.TCPConn
	peer *net.TCPAddr // nil if it is the one that the kernel knows

	mu       sync.Mutex // guards what follows
	closed   bool
	detached func() // see Detach

	unwatched atomic.Pointer[unwatched] // see Unwatch
}

var (
	_ conn.Conn       = (*Conn)(nil)
	_ conn.Detachable = (*Conn)(nil)
)

// NewConn takes over tcp.
func NewConn(tcp *net.TCPConn) *Conn {
	// Both fail only on a connection that is dead already.
	_ = tcp.SetLinger(0)
	_ = keepUrgentInline(tcp)
	return &Conn{TCPConn: tcp}
}

// SetRemoteAddr sets the address that RemoteAddr returns: a proxy in between has named
// the peer. It has to be called before RemoteAddr.
func (c *Conn) SetRemoteAddr(peer *net.TCPAddr) { c.peer = peer }

// Named reports whether SetRemoteAddr was called.
func (c *Conn) Named() bool { return c.peer != nil }

// RemoteAddr returns the address that the connection comes from.
func (c *Conn) RemoteAddr() net.Addr {
	if c.peer != nil {
		return c.peer
	}
	return c.TCPConn.RemoteAddr()
}

// AlwaysRead declares that the peer reads all that comes, as the ends of a control
// connection or of a multiplexed one do, and that it is dead if it acknowledges nothing
// for so long (TCP_USER_TIMEOUT, Linux). On a data connection a receiver may take
// its time, and to the kernel that looks the same. Over a path that fails for some
// seconds again and again, the kernel may count from the first failure on.
//
// The kernel also takes little more than it can send, so that what is urgent does not
// wait behind megabytes (TCP_NOTSENT_LOWAT, Linux).
func (c *Conn) AlwaysRead(limit time.Duration) {
	_ = setUserTimeout(c.TCPConn, limit) // fails only on a dead connection,
	_ = setNotSent(c.TCPConn, notSent)   // as this does
}

// notSent is how much the kernel holds that it cannot send yet: enough to send while the
// process wakes up.
const notSent = 128 << 10

// TCP returns the connection itself, for what only the socket can tell or do. Closing
// that resets it.
func (c *Conn) TCP() *net.TCPConn { return c.TCPConn }

// Control calls f with the descriptor, which is valid meanwhile.
func (c *Conn) Control(f func(fd uintptr)) error {
	if u := c.unwatched.Load(); u != nil {
		return u.control(f)
	}
	err := c.controlWatched(f)
	if u := c.unwatched.Load(); err != nil && u != nil { // Unwatch was called meanwhile
		return u.control(f)
	}
	return err
}

// controlWatched calls f only if it returns nil.
func (c *Conn) controlWatched(f func(fd uintptr)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

// CloseWrite ends this side's direction.
func (c *Conn) CloseWrite() error {
	if u := c.unwatched.Load(); u != nil {
		return u.closeWrite()
	}
	err := c.TCPConn.CloseWrite()
	if u := c.unwatched.Load(); err != nil && u != nil { // Unwatch was called meanwhile
		return u.closeWrite()
	}
	return err
}

// Close closes the connection as usual: what was written is still delivered, followed by
// FIN.
func (c *Conn) Close() error { return c.end(-1) }

// Reset closes the connection with a reset.
func (c *Conn) Reset() error { return c.end(0) }

func (c *Conn) end(linger int) error {
	c.mu.Lock()
	first, detached := !c.closed, c.detached
	c.closed = true
	c.mu.Unlock()
	switch {
	case !first:
		return net.ErrClosed
	case detached != nil:
		detached()
		return nil
	}
	if u := c.unwatched.Load(); u != nil {
		return u.close(linger)
	}
	_ = c.SetLinger(linger)
	if linger < 0 {
		letGo(c.TCPConn)
	}
	return c.TCPConn.Close()
}

// Detach gives the socket away, as conn.Detachable says.
func (c *Conn) Detach(end func()) (fd int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.unwatched.Load() != nil {
		return -1, net.ErrClosed
	}
	if fd, err = duplicate(c.TCPConn); err != nil {
		return -1, err
	}
	c.detached = end
	_ = c.TCPConn.Close() // the runtime's part in it; the connection lives on
	return fd, nil
}

// Unwatch takes the socket from the runtime's poller, for an event loop to watch it. From
// then on Read and Write fail with net.ErrClosed, as those that wait already do. All other
// methods work as before, and Control is the way to the socket. After an error nothing
// has changed.
func (c *Conn) Unwatch() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.detached != nil || c.unwatched.Load() != nil {
		return net.ErrClosed
	}
	fd, err := duplicate(c.TCPConn)
	if err != nil {
		return err
	}
	c.unwatched.Store(newUnwatched(fd))
	_ = c.TCPConn.Close() // the runtime's part in it; the connection lives on
	return nil
}
