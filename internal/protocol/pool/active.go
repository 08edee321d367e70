package pool

import (
	"sync/atomic"

	"github.com/seed96252745/relay/internal/conn"
)

// activeConn is a connection that a user has. The pool counts it until it is closed.
type activeConn struct {
	conn.Conn
	session  *session
	released atomic.Bool
}

// Unwrap returns the connection that the relay client has made.
func (c *activeConn) Unwrap() (inner conn.Conn, sameBytes bool) { return c.Conn, true }

func (c *activeConn) release() {
	if !c.released.Swap(true) {
		c.session.releaseActive()
	}
}

func (c *activeConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

func (c *activeConn) Reset() error {
	defer c.release()
	return c.Conn.Reset()
}
