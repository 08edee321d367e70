package transport

import (
	"net"
	"sync"

	"github.com/seed96252745/relay/internal/conn"
)

// unixConn is a connection to a Unix socket. The kernel has no reset for it: see
// LocalAddr.Start. Its methods may be called concurrently, Close and Reset any number of
// times.
type unixConn struct {
	*net.UnixConn

	mu       sync.Mutex // guards what follows
	closed   bool
	detached func() // see Detach
}

var (
	_ conn.Conn       = (*unixConn)(nil)
	_ conn.Detachable = (*unixConn)(nil)
)

// Control calls f with the descriptor, which is valid meanwhile.
func (c *unixConn) Control(f func(fd uintptr)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(f)
}

// Close closes the connection. What was written is with the peer already.
func (c *unixConn) Close() error { return c.end(0) }

// Reset closes the connection. The peer's next call fails with ECONNRESET if it has sent
// something that was not read, and sees an end otherwise.
func (c *unixConn) Reset() error { return c.end(0) }

func (c *unixConn) end(int) error {
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
	return c.UnixConn.Close()
}

// Detach gives the socket away, as conn.Detachable says.
func (c *unixConn) Detach(end func()) (fd int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return -1, net.ErrClosed
	}
	if fd, err = duplicate(c.UnixConn); err != nil {
		return -1, err
	}
	c.detached = end
	_ = c.UnixConn.Close() // the runtime's part in it; the connection lives on
	return fd, nil
}
