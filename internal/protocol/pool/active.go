package pool

import (
	"github.com/seed96252745/relay/internal/join"
)

// activeConn is a connection that a user has, and that the pool counts until
// it is closed.
type activeConn struct {
	join.Conn
	release func()
}

// Unwrap gives the connection that the pool was given.
func (c *activeConn) Unwrap() join.Conn { return c.Conn }

func (c *activeConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

func (c *activeConn) Reset() error {
	defer c.release()
	return c.Conn.Reset()
}
