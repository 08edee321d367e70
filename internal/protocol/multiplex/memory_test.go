package multiplex_test

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/join"
)

// memoryConn is one end of a connection in memory, for tests in which time is
// simulated. It has no buffer: a write waits for its reader.
type memoryConn struct {
	net.Conn          // the half that is read, and the addresses
	out      net.Conn // the half that is written
	reset    *atomic.Bool
}

var _ join.Conn = (*memoryConn)(nil)

func memoryPair() (near, far *memoryConn) {
	toFar, fromNear := net.Pipe()
	toNear, fromFar := net.Pipe()
	reset := new(atomic.Bool)
	return &memoryConn{fromFar, toFar, reset}, &memoryConn{fromNear, toNear, reset}
}

func (c *memoryConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.explain(err)
}

func (c *memoryConn) Write(b []byte) (int, error) {
	n, err := c.out.Write(b)
	return n, c.explain(err)
}

// explain tells a reset from an end.
func (c *memoryConn) explain(err error) error {
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe)
	if ended && c.reset.Load() {
		return syscall.ECONNRESET
	}
	return err
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }

func (c *memoryConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memoryConn) CloseWrite() error { return c.out.Close() }

func (c *memoryConn) Close() error { return errors.Join(c.out.Close(), c.Conn.Close()) }

func (c *memoryConn) Reset() error {
	c.reset.Store(true)
	return c.Close()
}
