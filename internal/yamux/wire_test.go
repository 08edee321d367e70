package yamux_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// wire is one direction of a connection over a distance, for tests in simulated time.
type wire struct {
	latency time.Duration
	rate    int // bytes per second
	backlog time.Duration

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	free    time.Time // when everything written has left
	flying  []parcel
	ended   bool // by CloseWrite
	broken  bool
	until   time.Time // the write deadline
}

type parcel struct {
	at    time.Time // when it arrives
	bytes []byte
}

func newWire(latency time.Duration, rate int) *wire {
	w := &wire{latency: latency, rate: rate, backlog: latency / 4}
	w.changed.L = &w.mu
	return w
}

// wake wakes the waiting calls at a given time.
func (w *wire) wake(at time.Time) {
	time.AfterFunc(time.Until(at), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})
}

// Write waits while too much waits to leave, as in a socket's buffer.
func (w *wire) Write(b []byte) (n int, err error) {
	const piece = 16 << 10
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(b) > 0 {
		now := time.Now()
		switch {
		case w.broken || w.ended:
			return n, net.ErrClosed
		case !w.until.IsZero() && !now.Before(w.until):
			return n, os.ErrDeadlineExceeded
		case w.free.Sub(now) > w.backlog:
			w.wake(w.free.Add(-w.backlog))
			w.changed.Wait()
			continue
		}
		if w.free.Before(now) {
			w.free = now
		}
		m := min(piece, len(b))
		w.free = w.free.Add(time.Duration(m) * time.Second / time.Duration(w.rate))
		w.flying = append(w.flying, parcel{w.free.Add(w.latency), append([]byte(nil), b[:m]...)})
		w.changed.Broadcast()
		b = b[m:]
		n += m
	}
	return n, nil
}

func (w *wire) Read(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.broken:
			return 0, net.ErrClosed
		case len(w.flying) > 0 && !time.Now().Before(w.flying[0].at):
			first := &w.flying[0]
			n := copy(b, first.bytes)
			if first.bytes = first.bytes[n:]; len(first.bytes) == 0 {
				w.flying = w.flying[1:]
			}
			return n, nil
		case len(w.flying) > 0:
			w.wake(w.flying[0].at)
		case w.ended:
			return 0, io.EOF
		}
		w.changed.Wait()
	}
}

func (w *wire) set(f func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.changed.Broadcast()
	return nil
}

// wireConn is one end of a connection over a distance.
type wireConn struct {
	net.Conn // for the addresses; it is not used
	in, out  *wire
}

func wirePair(latency time.Duration, rate int) (near, far *wireConn) {
	a, b := newWire(latency, rate), newWire(latency, rate)
	unused, _ := net.Pipe()
	return &wireConn{unused, a, b}, &wireConn{unused, b, a}
}

func (c *wireConn) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *wireConn) Write(b []byte) (int, error) { return c.out.Write(b) }
func (c *wireConn) CloseWrite() error           { return c.out.set(func() { c.out.ended = true }) }

// SetDeadline sets the write deadline, which is all that a session needs.
func (c *wireConn) SetDeadline(t time.Time) error { return c.SetWriteDeadline(t) }

func (c *wireConn) SetWriteDeadline(t time.Time) error {
	return c.out.set(func() {
		if c.out.until = t; !t.IsZero() {
			c.out.wake(t)
		}
	})
}

func (c *wireConn) Close() error {
	return errors.Join(c.out.set(func() { c.out.ended = true }), c.in.set(func() { c.in.broken = true }))
}

func (c *wireConn) Reset() error {
	return errors.Join(c.out.set(func() { c.out.broken = true }), c.in.set(func() { c.in.broken = true }))
}
