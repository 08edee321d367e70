// Package throttle slows connections down to a number of bytes a second, which
// several of them may share.
//
// A connection that is slowed down is copied by goroutines, since the event loops
// never wait; one that is not is none of this package's.
package throttle

import (
	"context"
	"net"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
)

const (
	// minBurst is what goes at once in any case: less than a packet is not worth a
	// wake-up.
	minBurst = 16 << 10
	// maxBurst is the most that goes at once, so that connections take turns.
	maxBurst = 256 << 10
)

// NewLimiter gives a limiter for so many bytes a second, of which a tenth may go at
// once.
func NewLimiter(bytesPerSecond int64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(bytesPerSecond), burst(bytesPerSecond))
}

// SetLimiter has a limiter allow so many from now on, also to connections that have it
// already. What may go at once is not refilled by that.
func SetLimiter(l *rate.Limiter, bytesPerSecond int64) {
	l.SetLimit(rate.Limit(bytesPerSecond))
	l.SetBurst(burst(bytesPerSecond))
}

func burst(bytesPerSecond int64) int {
	return int(min(max(bytesPerSecond/10, minBurst), maxBurst))
}

// Conn is a connection of which both directions together keep to a limiter. What
// waits when it is closed ends with net.ErrClosed.
type Conn struct {
	conn.Conn
	limiter *rate.Limiter
	open    context.Context
	close   context.CancelFunc
	waits   atomic.Int32 // of bytes, which are not to go yet
}

// New slows conn down. Closing or resetting what it gives closes or resets conn.
func New(conn conn.Conn, limiter *rate.Limiter) *Conn {
	c := &Conn{Conn: conn, limiter: limiter}
	c.open, c.close = context.WithCancel(context.Background())
	return c
}

var _ join.Slowed = (*Conn)(nil)

// Underlying gives the connection itself, to whoever asks how its socket is.
func (c *Conn) Underlying() net.Conn { return c.Conn }

// Carried gives it to a join.
func (c *Conn) Carried() conn.Conn { return c.Conn }

// Waiting is join.Slowed's.
func (c *Conn) Waiting() bool { return c.waits.Load() > 0 }

// Read reads, and then waits until so much may have come.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:min(len(b), c.limiter.Burst())])
	if n > 0 && !c.wait(n) {
		return n, net.ErrClosed
	}
	return n, err
}

// wait waits until n bytes may go, and reports whether the connection is still open.
// The limiter may be told meanwhile to let less go at once.
func (c *Conn) wait(n int) bool {
	c.waits.Add(1)
	defer c.waits.Add(-1)
	for n > 0 && c.open.Err() == nil {
		now := min(n, c.limiter.Burst())
		if c.limiter.WaitN(c.open, now) == nil {
			n -= now
		}
	}
	return n == 0
}

// Write writes as much at a time as may go.
func (c *Conn) Write(b []byte) (written int, err error) {
	for first := true; first || len(b) > 0; first = false {
		n := min(len(b), c.limiter.Burst())
		if !c.wait(n) {
			return written, net.ErrClosed
		}
		n, err = c.Conn.Write(b[:n])
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.close()
	return c.Conn.Close()
}

// Reset resets the connection.
func (c *Conn) Reset() error {
	c.close()
	return c.Conn.Reset()
}
