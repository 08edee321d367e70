// Package quiet has connections that carry a few lines, and are silent for most of their
// life: probes and control channels. While one is silent it has a goroutine only where that
// cannot be helped, as with TLS: a peer that never says anything costs little.
package quiet

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// Owner is what a [Conn] needs of those that it belongs to. None of its functions may wait,
// and those that are called with what has happened may be called after Close, for what has
// happened before.
type Owner struct {
	// Watch calls f, once, when reading from c would not wait, until stop is called. It is
	// that of a join.Set: stop is nil if c cannot be watched.
	Watch func(c conn.Conn, f func()) (stop func())
	// Go runs f, which may wait, on a goroutine that the owner waits for. It catches panics.
	Go func(f func())
	// Received is called with what has come, in order. B is valid until it returns.
	Received func(b []byte)
	// Failed is called with why nothing more comes, or nothing more can be written. The owner
	// closes the connection then.
	Failed func(err error)
}

// Conn is a quiet connection. Make it with New, call Start once, and end it with Close or
// Reset. Its methods may be called concurrently, and do not wait.
type Conn struct {
	conn  conn.Conn
	owner Owner

	reading sync.Mutex // held by the reader, which does not wait

	mu      sync.Mutex // guards what follows
	ended   bool       // nothing more is done with conn
	unwatch func()     // or nil if no event loop has conn
	unsent  []byte     // what is to be written
	writing bool       // by a goroutine, or Start is yet to be called
}

// New returns a connection that takes c over.
func New(c conn.Conn, owner Owner) *Conn { return &Conn{conn: c, owner: owner, writing: true} }

// Start writes b, and after it what Write was called with before, and begins to read.
func (c *Conn) Start(b []byte) {
	c.mu.Lock()
	c.unsent = append(b, c.unsent...)
	if !c.ended {
		c.writeNowLocked()
	}
	c.writing = len(c.unsent) > 0
	sent := !c.writing
	c.mu.Unlock()
	switch {
	case !sent:
		c.owner.Go(func() {
			c.flush()
			c.wait()
		})
	case !c.watch():
		c.owner.Go(c.wait)
	}
}

// writeNowLocked writes as much of what is unsent as takes no waiting.
func (c *Conn) writeNowLocked() {
	if len(c.unsent) == 0 {
		return
	}
	if conn.TryWrite(c.conn, c.unsent) {
		c.unsent = nil
		return
	}
	c.unsent = c.unsent[conn.WriteNow(c.conn, c.unsent):]
}

var errStuck = errors.New("the peer takes nothing")

// maxUnsent bounds what a connection holds for a peer that takes nothing: many lines.
const maxUnsent = 4 << 10

// Write writes a few bytes after those that were written before. The connection fails if
// the peer takes nothing for 30 seconds, or has not taken 4 KiB.
func (c *Conn) Write(b []byte) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.unsent = append(c.unsent, b...)
	if c.writing {
		full := len(c.unsent) > maxUnsent
		c.mu.Unlock()
		if full {
			c.owner.Failed(errStuck)
		}
		return
	}
	c.writeNowLocked()
	c.writing = len(c.unsent) > 0
	stuck, onLoop := c.writing, c.unwatch != nil
	c.mu.Unlock()
	switch {
	case stuck && onLoop: // which a write that waits would disturb; a few bytes fill no socket that is alive
		c.owner.Failed(errStuck)
	case stuck:
		c.owner.Go(c.flush)
	}
}

// writeTimeout is after how long a peer that takes nothing is dead, as other connections to
// relay clients are.
const writeTimeout = 30 * time.Second

// flush writes what is unsent.
func (c *Conn) flush() {
	for {
		c.mu.Lock()
		b := c.unsent
		c.unsent = nil
		c.writing = len(b) > 0
		c.mu.Unlock()
		if len(b) == 0 {
			return
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails as the write does
		if _, err := c.conn.Write(b); err != nil {
			c.owner.Failed(err)
			return
		}
	}
}

// watch has read called when something comes. It reports false if that has to be waited for.
func (c *Conn) watch() bool {
	read := func() { c.owner.Go(c.read) }
	if n, ok := conn.Innermost(c.conn).(conn.Notifier); ok {
		n.OnReadable(read)
		read() // what has come before
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return true
	}
	c.unwatch = c.owner.Watch(c.conn, read)
	return c.unwatch != nil
}

// portion is how much is read at a time. It is more than a line has.
const portion = 128

// read reads what has come, and waits for no more.
func (c *Conn) read() {
	err := c.readNow()
	switch {
	case errors.Is(err, net.ErrClosed): // by the owner
	case errors.Is(err, syscall.EAGAIN):
		if _, notified := conn.Innermost(c.conn).(conn.Notifier); !notified && !c.watch() {
			c.wait()
		}
	default:
		c.owner.Failed(err)
	}
}

// readNow reads all that has come, and returns EAGAIN, or why nothing more comes.
func (c *Conn) readNow() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	b := make([]byte, portion)
	for {
		n, err := c.tryRead(b)
		if n > 0 {
			c.owner.Received(b[:n])
		}
		if err != nil {
			return err
		}
	}
}

func (c *Conn) tryRead(b []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return 0, net.ErrClosed
	}
	n, err = conn.TryRead(c.conn, b)
	if errors.Is(err, syscall.EAGAIN) {
		n, err = conn.ReadNow(c.conn, b) // a socket that TryRead leaves to the runtime's poller
	}
	return n, err
}

// wait reads until the connection ends.
func (c *Conn) wait() {
	b := make([]byte, portion)
	for !c.hasEnded() {
		n, err := c.conn.Read(b)
		if n > 0 && !c.hasEnded() {
			c.owner.Received(b[:n])
		}
		if err != nil {
			c.owner.Failed(err)
			return
		}
	}
}

func (c *Conn) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Close ends the connection. What was written still arrives.
func (c *Conn) Close() { c.end(c.conn.Close) }

// Reset ends the connection at once.
func (c *Conn) Reset() { c.end(c.conn.Reset) }

func (c *Conn) end(end func() error) {
	c.mu.Lock()
	first, unwatch := !c.ended, c.unwatch
	c.ended = true
	c.mu.Unlock()
	if !first {
		return
	}
	if unwatch != nil {
		unwatch()
	}
	_ = end()
}
