package pool

import (
	"net"

	"github.com/seed96252745/relay/internal/join"
)

// activeConn is a connection that a user has, and that the pool counts until
// it is closed.
type activeConn struct {
	join.Conn
	release func()
}

// TCP gives the TCP connection beneath, or nil.
func (c *activeConn) TCP() *net.TCPConn {
	if tcp, ok := c.Conn.(interface{ TCP() *net.TCPConn }); ok {
		return tcp.TCP()
	}
	return nil
}

func (c *activeConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

func (c *activeConn) Reset() error {
	defer c.release()
	return c.Conn.Reset()
}
