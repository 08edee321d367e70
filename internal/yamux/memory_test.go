package yamux_test

import (
	"errors"
	"net"
	"time"
)

// memoryConn is one end of a connection in memory, for tests in which time is
// simulated. It has no buffer: a write waits for its reader.
type memoryConn struct {
	net.Conn          // the half that is read, and the addresses
	out      net.Conn // the half that is written
}

func memoryPair() (near, far *memoryConn) {
	toFar, fromNear := net.Pipe()
	toNear, fromFar := net.Pipe()
	return &memoryConn{fromFar, toFar}, &memoryConn{fromNear, toNear}
}

func (c *memoryConn) Write(b []byte) (int, error) { return c.out.Write(b) }

func (c *memoryConn) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }

func (c *memoryConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memoryConn) CloseWrite() error { return c.out.Close() }

func (c *memoryConn) Close() error { return errors.Join(c.out.Close(), c.Conn.Close()) }

func (c *memoryConn) Reset() error { return c.Close() }
