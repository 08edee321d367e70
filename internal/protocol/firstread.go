package protocol

import (
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/conn"
)

// FirstRead is a data connection whose relay client wants to know what comes first:
// bytes, which show that a user has come, or an error. It tells once, and is a
// connection like others after that. Make it with NewFirstRead.
type FirstRead struct {
	conn.Conn
	tell func(error)
	told atomic.Bool
}

var (
	_ conn.Wrapper      = (*FirstRead)(nil)
	_ conn.ReadNotifier = (*FirstRead)(nil)
)

// NewFirstRead wraps conn. Tell is called once, with nil when bytes have been read or
// else with the error; it must not wait.
func NewFirstRead(conn conn.Conn, tell func(error)) *FirstRead {
	return &FirstRead{Conn: conn, tell: tell}
}

// Unwrap gives the connection that has the bytes.
func (f *FirstRead) Unwrap() (inner conn.Conn, sameBytes bool) { return f.Conn, true }

// NotifyRead is for a caller that reads past Read.
func (f *FirstRead) NotifyRead(err error) { f.Tell(err) }

// Tell tells err, unless something has been told. It reports whether it has.
func (f *FirstRead) Tell(err error) bool {
	if f.told.Load() || !f.told.CompareAndSwap(false, true) {
		return false
	}
	f.tell(err)
	return true
}

// Read waits for the first byte.
func (f *FirstRead) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	switch {
	case f.told.Load() || len(b) == 0:
	case n > 0:
		f.Tell(nil)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		f.Tell(err)
	}
	return n, err
}

// WriteTo keeps io.Copy from going round Read.
func (f *FirstRead) WriteTo(dst io.Writer) (int64, error) {
	return io.Copy(dst, struct{ io.Reader }{f})
}
