// Package transport is how connections between user, relay, relay client and
// local server come to be: listening and dialling, the kernel's settings for
// each leg, and the [Conn] that the rest of Relay works on.
//
// It knows plain TCP. It reads and writes nothing by itself.
package transport

import (
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/join"
)

// Conn is a TCP connection whose peer sees an end only if somebody decided
// that it ended: Close sends FIN, Reset sends RST, and if the process is
// killed the kernel sends RST too, because Conn sets SO_LINGER to zero for as
// long as it lives. A user is so never shown a truncated answer as a whole one.
//
// Its methods may be called concurrently, Close and Reset any number of times.
type Conn struct {
	*net.TCPConn
	once sync.Once
}

var _ join.Conn = (*Conn)(nil)

// NewConn takes over tcp.
func NewConn(tcp *net.TCPConn) *Conn {
	// Both fail only on a connection that is dead already.
	_ = tcp.SetLinger(0)
	_ = keepUrgentInline(tcp)
	return &Conn{TCPConn: tcp}
}

// unacknowledged is how long a peer that always reads may leave bytes
// unacknowledged. Together with keep-alive it is noticed within 35 s that such
// a peer has vanished.
const unacknowledged = 30 * time.Second

// AlwaysRead says that the peer reads whatever comes, as the ends of a control
// connection or of a multiplexed one do, and that it is dead if it takes
// nothing for 30 seconds (TCP_USER_TIMEOUT, Linux). On a data connection a
// receiver may take its time, and to the kernel that looks the same.
func (c *Conn) AlwaysRead() { _ = setUserTimeout(c.TCPConn, unacknowledged) }

// TCP gives the connection itself, for what only the socket can tell or do.
// Whoever closes it closes it with a reset.
func (c *Conn) TCP() *net.TCPConn { return c.TCPConn }

// Close closes the connection as closing a TCP connection usually does: what
// was written is still delivered, followed by FIN.
func (c *Conn) Close() error { return c.end(-1) }

// Reset closes the connection with a reset.
func (c *Conn) Reset() error { return c.end(0) }

func (c *Conn) end(linger int) error {
	err := net.ErrClosed
	c.once.Do(func() {
		_ = c.SetLinger(linger)
		err = c.TCPConn.Close()
	})
	return err
}
