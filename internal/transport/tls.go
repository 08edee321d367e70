package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// closeWait bounds how long Close tries to send close_notify to a peer that does not
// read. A join waits as long to deliver what is left.
const closeWait = time.Second

// TLSConn is TLS over a [Conn], or over another conn.Conn. It keeps what Conn promises:
// Read returns io.EOF only after the peer's close_notify, which both Close and CloseWrite
// send.
//
// It is no conn.Socket: the bytes of the socket below are not its own.
//
// Its methods may be called concurrently, Close and Reset any number of times.
// After a Write that has timed out, further ones fail: half of a record has been
// sent.
type TLSConn struct {
	tls   *tls.Conn
	below *ciphertext // what tls stands on

	mu      sync.Mutex // guards what follows
	closing bool       // and the write deadline is closeWait's

	reading sync.Mutex // guards what follows, and below.empty
	first   []byte     // what WaitReadable has read; aliases held
	held    [1]byte
}

var (
	_ conn.Conn       = (*TLSConn)(nil)
	_ conn.ReadWaiter = (*TLSConn)(nil)
)

// newTLSConn takes over below. Begin is tls.Client or tls.Server.
func newTLSConn(below conn.Conn, config *tls.Config, begin func(net.Conn, *tls.Config) *tls.Conn) *TLSConn {
	c := &TLSConn{below: &ciphertext{Conn: below}}
	c.tls = begin(c.below, config)
	return c
}

// ConnectionState returns what was negotiated, and the peer's certificates.
func (c *TLSConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Unwrap returns what is below TLS, where the bytes are ciphertext.
func (c *TLSConn) Unwrap() (inner conn.Conn, sameBytes bool) { return c.below.Conn, false }

// WaitReadable returns when there is something to read, or an error. It needs no buffer
// of the caller: it is for connections that are silent for long.
func (c *TLSConn) WaitReadable() {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.first) == 0 {
		n, _ := c.tls.Read(c.held[:]) // an error comes again
		c.first = c.held[:n]
	}
}

// Read returns what the peer has sent, and io.EOF after its close_notify.
func (c *TLSConn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	n := copy(b, c.first)
	c.first = c.first[n:]
	if n == 0 {
		var err error
		if n, err = c.tls.Read(b); err != nil || n == len(b) {
			return n, err
		}
	}
	more, err := c.readMore(b[n:])
	return n + more, err
}

// readMore returns what has come behind what was read, as far as that takes no waiting:
// the rest of the record, and other records that were read with it.
func (c *TLSConn) readMore(b []byte) (n int, err error) {
	c.below.empty = true
	defer func() { c.below.empty = false }()
	for n < len(b) && err == nil {
		var m int
		m, err = c.tls.Read(b[n:])
		n += m
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil // that was all
	}
	return n, err
}

// Write sends b.
func (c *TLSConn) Write(b []byte) (int, error) {
	n, err := c.below.withCork(func() (int, error) { return c.tls.Write(b) })
	if err != nil && c.isClosing() {
		err = net.ErrClosed // and not the deadline of Close, nor that close_notify was sent
	}
	return n, err
}

// CloseWrite sends close_notify, and FIN behind it. Like Write it waits until there is
// room, for as long as the write deadline allows.
func (c *TLSConn) CloseWrite() error {
	if err := c.tls.CloseWrite(); err != nil {
		return fmt.Errorf("close_notify: %w", err)
	}
	if err := c.below.flush(); err != nil {
		return fmt.Errorf("close_notify: %w", err)
	}
	return c.below.CloseWrite()
}

// Close sends close_notify, and closes the connection as Conn does. It gives up a peer
// that does not read after a second; that peer sees a connection that was cut off.
func (c *TLSConn) Close() error {
	if !c.beginClosing() {
		return net.ErrClosed
	}
	// Not Close, which sends nothing at all while another goroutine writes.
	_ = c.tls.CloseWrite() // what cannot be sent now is lost,
	_ = c.below.flush()    // as is what a Write has gathered
	return c.below.Conn.Close()
}

// beginClosing returns false if another call has begun. From then on the write deadline
// stays, which also bounds writes in progress.
func (c *TLSConn) beginClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.closing = true
	_ = c.below.Conn.SetWriteDeadline(time.Now().Add(closeWait)) // fails only when closed
	return true
}

func (c *TLSConn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// Reset closes the connection with a reset of TCP, also while Close waits.
func (c *TLSConn) Reset() error { return c.below.Reset() }

// LocalAddr returns that of the connection below.
func (c *TLSConn) LocalAddr() net.Addr { return c.below.LocalAddr() }

// RemoteAddr returns that of the connection below.
func (c *TLSConn) RemoteAddr() net.Addr { return c.below.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *TLSConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the time after which Read fails. Zero means never.
func (c *TLSConn) SetReadDeadline(t time.Time) error { return c.below.SetReadDeadline(t) }

// SetWriteDeadline sets the time after which Write and CloseWrite fail. Zero
// means never.
func (c *TLSConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	return c.below.Conn.SetWriteDeadline(t)
}
