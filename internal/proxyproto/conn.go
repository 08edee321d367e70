package proxyproto

import (
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// Conn is a connection whose addresses are those of its header, which has been
// read. In all else it is the connection itself, and is joined as that would be.
type Conn struct {
	conn.Conn
	user, public net.Addr
}

var _ conn.Wrapper = (*Conn)(nil)

// NewConn gives conn for a user who came to the public address.
func NewConn(conn conn.Conn, user, public net.Addr) *Conn { return &Conn{conn, user, public} }

// RemoteAddr is the user's address.
func (c *Conn) RemoteAddr() net.Addr { return c.user }

// Named reports that a header says who the user is.
func (c *Conn) Named() bool { return true }

// LocalAddr is the public address.
func (c *Conn) LocalAddr() net.Addr { return c.public }

// Unwrap gives the connection itself.
func (c *Conn) Unwrap() conn.Conn { return c.Conn }

// Underlying gives the connection itself, to whoever asks how its socket is.
func (c *Conn) Underlying() net.Conn { return c.Conn }
