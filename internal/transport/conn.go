// Package transport is how connections between user, relay, relay client and
// local server come to be: listening and dialling, the kernel's settings for
// each leg, and the [Conn] that the rest of Relay works on.
//
// Between relay client and relay there may be TLS, on the same port as plain text
// and told apart from it by the first byte: [Secure] is the relay's side of that,
// [SecureRelay] the client's, and a [TLSConn] what both get. Where certificates
// come from is not decided here.
//
// Beside handshakes it reads and writes nothing by itself.
package transport

import (
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// Conn is a TCP connection whose peer sees an end only if somebody decided
// that it ended: Close sends FIN, Reset sends RST, and if the process is
// killed the kernel sends RST too, because Conn sets SO_LINGER to zero for as
// long as it lives. A user is so never shown a truncated answer as a whole one.
//
// Its methods may be called concurrently, Close and Reset any number of times.
type Conn struct {
	*net.TCPConn
	peer *net.TCPAddr // nil if it is who the kernel says

	mu       sync.Mutex // guards what follows
	closed   bool
	detached func() // see Detach
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

// SetRemoteAddr has the connection say that it comes from peer: a proxy that hands it on
// has said so. It has to be called before anybody asks.
func (c *Conn) SetRemoteAddr(peer *net.TCPAddr) { c.peer = peer }

// Named reports whether SetRemoteAddr was called.
func (c *Conn) Named() bool { return c.peer != nil }

// RemoteAddr is where the connection comes from.
func (c *Conn) RemoteAddr() net.Addr {
	if c.peer != nil {
		return c.peer
	}
	return c.TCPConn.RemoteAddr()
}

// AlwaysRead says that the peer reads whatever comes, as the ends of a control
// connection or of a multiplexed one do, and that it is dead if it takes nothing
// for so long (TCP_USER_TIMEOUT, Linux). On a data connection a receiver may take
// its time, and to the kernel that looks the same. Over a way that fails for some
// seconds again and again, the kernel may count from the first failure on.
//
// The kernel is also told to take little more than it can send, so that what is
// urgent does not wait behind megabytes (TCP_NOTSENT_LOWAT, Linux).
func (c *Conn) AlwaysRead(limit time.Duration) {
	_ = setUserTimeout(c.TCPConn, limit) // fails only on a dead connection,
	_ = setNotSent(c.TCPConn, notSent)   // as this does
}

// notSent is how much the kernel holds that it cannot send yet: enough to send
// from while the process is woken up.
const notSent = 128 << 10

// TCP gives the connection itself, for what only the socket can tell or do.
// Whoever closes it closes it with a reset.
func (c *Conn) TCP() *net.TCPConn { return c.TCPConn }

// Control calls f with the descriptor, which is valid meanwhile.
func (c *Conn) Control(f func(fd uintptr)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

// Close closes the connection as closing a TCP connection usually does: what
// was written is still delivered, followed by FIN.
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
	_ = c.SetLinger(linger)
	if linger < 0 {
		letGo(c.TCPConn)
	}
	return c.TCPConn.Close()
}

// Detach gives the socket away, as conn.Detachable says: its descriptor belongs
// to the caller. From then on reading and writing fail, and Close and Reset call
// end.
func (c *Conn) Detach(end func()) (fd int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return -1, net.ErrClosed
	}
	if fd, err = duplicate(c.TCPConn); err != nil {
		return -1, err
	}
	c.detached = end
	_ = c.TCPConn.Close() // the runtime's part in it; the connection lives on
	return fd, nil
}
