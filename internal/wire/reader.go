package wire

import (
	"io"
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// Reader reads bytes from a connection, and none beyond the last newline that it has
// returned: once a line is read, the connection stands at the very next byte and the
// Reader is no longer needed.
//
// It peeks at what a TCP connection holds before it consumes it, where the system can
// do so; elsewhere it reads one byte at a time.
type Reader struct {
	conn   net.Conn
	peek   func(b []byte) (n int, err error) // or nil
	peeked []byte                            // seen, but still in the connection; aliases buf
	next   int                               // how many of peeked have been returned
	buf    [maxID]byte
}

// NewReader returns a Reader of c, which it does not close.
func NewReader(c net.Conn) *Reader {
	return &Reader{conn: c, peek: conn.PeekerOf(c)}
}

// ReadByte returns the next byte. It honors the read deadline of the connection.
func (r *Reader) ReadByte() (byte, error) {
	if r.peek == nil {
		_, err := io.ReadFull(r.conn, r.buf[:1])
		return r.buf[0], err
	}
	if r.next == len(r.peeked) {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	c := r.peeked[r.next]
	r.next++
	if c == '\n' || r.next == len(r.peeked) {
		return c, r.consume()
	}
	return c, nil
}

func (r *Reader) fill() error {
	n, err := r.peek(r.buf[:])
	if err != nil {
		return err
	}
	r.peeked, r.next = r.buf[:n], 0
	return nil
}

// consume removes the bytes that were returned from the connection.
func (r *Reader) consume() error {
	_, err := io.ReadFull(r.conn, r.peeked[:r.next])
	r.peeked, r.next = nil, 0
	return err
}
