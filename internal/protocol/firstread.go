package protocol

import (
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/conn"
)

// FirstRead is a data connection that notifies its relay client once of what arrives
// first: bytes, which show that a user has come, or an error. Make it with NewFirstRead.
type FirstRead struct {
	conn.Conn
	notify   func(error)
	notified atomic.Bool
}

var (
	_ conn.Wrapper      = (*FirstRead)(nil)
	_ conn.ReadNotifier = (*FirstRead)(nil)
)

// NewFirstRead wraps conn. It calls notify once, with nil when bytes have been read or
// else with the error. Notify must not block.
func NewFirstRead(conn conn.Conn, notify func(error)) *FirstRead {
	return &FirstRead{Conn: conn, notify: notify}
}

// Unwrap returns the connection that has the bytes.
func (f *FirstRead) Unwrap() (inner conn.Conn, sameBytes bool) { return f.Conn, true }

// NotifyRead is for a caller that reads past Read.
func (f *FirstRead) NotifyRead(err error) { f.Notify(err) }

// Notify notifies the relay client of err, unless it has been notified before. It reports
// whether it has done so.
func (f *FirstRead) Notify(err error) bool {
	if f.notified.Load() || !f.notified.CompareAndSwap(false, true) {
		return false
	}
	f.notify(err)
	return true
}

// Read waits for the first byte.
func (f *FirstRead) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	switch {
	case f.notified.Load() || len(b) == 0:
	case n > 0:
		f.Notify(nil)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		f.Notify(err)
	}
	return n, err
}

// WriteTo keeps io.Copy from bypassing Read.
func (f *FirstRead) WriteTo(dst io.Writer) (int64, error) {
	return io.Copy(dst, struct{ io.Reader }{f})
}
