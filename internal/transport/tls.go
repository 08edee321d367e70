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

// closeWait bounds how long Close tries to say close_notify to a peer that does
// not read. It is as long as a join tries to deliver what is left.
const closeWait = time.Second

// TLSConn is TLS over a [Conn], or over whatever else can be joined. It keeps
// what Conn promises, so that an end is an end only if somebody said so: Read
// gives io.EOF after the peer's close_notify, which both Close and CloseWrite
// send, and nowhere else.
//
// It is no conn.Socket, and shows nothing of the socket below: the bytes of that
// one are not its own.
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

// ConnectionState tells what has been agreed on, and who the peer is.
func (c *TLSConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Unwrap returns what is below TLS, where the bytes are ciphertext.
func (c *TLSConn) Unwrap() (inner conn.Conn, sameBytes bool) { return c.below.Conn, false }

// WaitReadable returns when there is something to read, or an error. Whoever waits
// in here needs no buffer: it is for connections that are silent for long.
func (c *TLSConn) WaitReadable() {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.first) == 0 {
		n, _ := c.tls.Read(c.held[:]) // an error comes again
		c.first = c.held[:n]
	}
}

// Read gives what the peer has said, and io.EOF after its close_notify.
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

// readMore gives what has come behind what was read, as far as nobody has to wait
// for it: the rest of the record, and others that have been read with it.
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
		err = net.ErrClosed // and not the deadline of Close, nor that close_notify has been said
	}
	return n, err
}

// CloseWrite says close_notify, and FIN behind it. Like Write it waits until
// there is room, for as long as the write deadline allows.
func (c *TLSConn) CloseWrite() error {
	if err := c.tls.CloseWrite(); err != nil {
		return fmt.Errorf("close_notify: %w", err)
	}
	if err := c.below.flush(); err != nil {
		return fmt.Errorf("close_notify: %w", err)
	}
	return c.below.CloseWrite()
}

// Close says close_notify, and closes the connection as Conn does. A peer that
// does not read is given up after a second, and sees a connection that was cut
// off.
func (c *TLSConn) Close() error {
	if !c.beginClosing() {
		return net.ErrClosed
	}
	// Not Close, which says nothing at all while another goroutine writes.
	_ = c.tls.CloseWrite() // what it cannot say now, nobody can,
	_ = c.below.flush()    // or what a Write has gathered
	return c.below.Conn.Close()
}

// beginClosing gives false if somebody else has begun. From then on the write
// deadline stays, which bounds writes that are under way as well.
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

// LocalAddr is that of the connection below.
func (c *TLSConn) LocalAddr() net.Addr { return c.below.LocalAddr() }

// RemoteAddr is that of the connection below.
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
