package conntest

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// MemoryConn is one end of a connection in memory, for tests in which time is
// simulated. It has no buffer: a write waits for its reader.
type MemoryConn struct {
	net.Conn          // the half that is read, and the addresses
	out      net.Conn // the half that is written
	reset    *atomic.Bool
}

var _ conn.Conn = (*MemoryConn)(nil)

// Memory makes a connection in memory, and returns its two ends.
func Memory() (near, far *MemoryConn) {
	toFar, fromNear := net.Pipe()
	toNear, fromFar := net.Pipe()
	reset := new(atomic.Bool)
	return &MemoryConn{fromFar, toFar, reset}, &MemoryConn{fromNear, toNear, reset}
}

// Read reads. After a reset of either end it returns ECONNRESET.
func (c *MemoryConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.explain(err)
}

// Write writes. After a reset of either end it returns ECONNRESET.
func (c *MemoryConn) Write(b []byte) (int, error) {
	n, err := c.out.Write(b)
	return n, c.explain(err)
}

// explain returns ECONNRESET for an end that was a reset, and other errors as they are.
func (c *MemoryConn) explain(err error) error {
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe)
	if ended && c.reset.Load() {
		return syscall.ECONNRESET
	}
	return err
}

// SetWriteDeadline sets the deadline of Write.
func (c *MemoryConn) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }

// SetDeadline sets the deadlines of Read and Write.
func (c *MemoryConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite ends the direction to the other end.
func (c *MemoryConn) CloseWrite() error { return c.out.Close() }

// Close ends both directions.
func (c *MemoryConn) Close() error { return errors.Join(c.out.Close(), c.Conn.Close()) }

// Reset ends both directions. Reads and writes at either end return ECONNRESET.
func (c *MemoryConn) Reset() error {
	c.reset.Store(true)
	return c.Close()
}
