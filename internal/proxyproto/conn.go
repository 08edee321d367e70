package proxyproto

import (
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// Conn is a connection whose addresses are those of its header, which has been read. In
// everything else it is the connection itself, and is joined like that.
type Conn struct {
	conn.Conn
	user, public net.Addr
}

var _ conn.Wrapper = (*Conn)(nil)

// NewConn returns conn for a user who came to the public address.
func NewConn(conn conn.Conn, user, public net.Addr) *Conn { return &Conn{conn, user, public} }

// RemoteAddr returns the user's address.
func (c *Conn) RemoteAddr() net.Addr { return c.user }

// Named reports that a header has named the user.
func (c *Conn) Named() bool { return true }

// LocalAddr returns the public address.
func (c *Conn) LocalAddr() net.Addr { return c.public }

// Unwrap returns the connection itself.
func (c *Conn) Unwrap() (inner conn.Conn, sameBytes bool) { return c.Conn, true }
