package transport

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// ciphertext is the connection below TLS as crypto/tls sees it, which must not decide how
// that ends.
type ciphertext struct {
	conn.Conn
	// empty has Read return os.ErrDeadlineExceeded, which passes, instead of waiting.
	// Only the reader uses it.
	empty bool

	mu     sync.Mutex // guards what follows, and the order of what is written
	corked int        // how many writers are about to uncork
	held   []byte     // what they have gathered, in one of corks
	err    error      // why nothing is written any more: half of a record was
}

// cork is how much ciphertext is gathered: the records of one portion of what is
// copied, 64 KiB, with what TLS adds to each.
const cork = 64<<10 + 1<<10

var corks = sync.Pool{New: func() any { return new([cork]byte) }}

// Write only gathers while a writer has it corked: a system call for each record
// would cost more than the copy does, and wake the peer for each.
func (c *ciphertext) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held)+len(b) > cork || c.corked == 0 {
		c.flushLocked()
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case c.corked == 0:
		return c.Conn.Write(b)
	case c.held == nil:
		c.held = corks.Get().(*[cork]byte)[:0]
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

// withCork calls f, and writes what f has written in one go. If that fails it is unknown
// how much has been written, and nothing more can be.
func (c *ciphertext) withCork(f func() (int, error)) (int, error) {
	c.mu.Lock()
	c.corked++
	c.mu.Unlock()
	n, err := f()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked--
	c.flushLocked()
	if err == nil && c.err != nil {
		return 0, c.err
	}
	return n, err
}

// flush writes what was gathered. It returns the error that writing has ended with, if it
// has.
func (c *ciphertext) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushLocked()
	return c.err
}

func (c *ciphertext) flushLocked() {
	if c.held == nil {
		return
	}
	if c.err == nil {
		_, c.err = c.Conn.Write(c.held)
	}
	corks.Put((*[cork]byte)(c.held[:cork]))
	c.held = nil
}

// Read never returns io.EOF. Between two records crypto/tls would pass it on as the end of
// the data, and that is where an attacker would cut.
func (c *ciphertext) Read(b []byte) (int, error) {
	if c.empty {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.Conn.Read(b)
	if err == io.EOF { //nolint:errorlint // an error that wraps it is a failure of its own
		err = conn.ErrTruncated
	}
	return n, err
}

// SetWriteDeadline does nothing. Crypto/tls gives close_notify five seconds,
// which would cut off a peer that reads slowly; TLSConn sets deadlines itself.
func (*ciphertext) SetWriteDeadline(time.Time) error { return nil }

// Close is called when the context of a handshake is done.
func (c *ciphertext) Close() error { return c.Reset() }
