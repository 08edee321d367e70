package pool

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/join"
)

// errGivenUp is the end of a wait that its owner ended himself.
var errGivenUp = errors.New("closed before a user came")

// waitingConn is a connection in the pool. Its wait ends with the first byte
// or the end that is read from it, or when its owner closes it; until then it
// can be withdrawn.
type waitingConn struct {
	join.Conn
	left     chan struct{} // closed when the wait is over
	firstErr error         // set before left is closed: nil if a byte came
	leave    sync.Once
	served   atomic.Bool // left is closed; spares reads the Once
}

var (
	_ join.Wrapper = (*waitingConn)(nil)
	_ join.Awaited = (*waitingConn)(nil)
)

func newWaitingConn(conn join.Conn) *waitingConn {
	return &waitingConn{Conn: conn, left: make(chan struct{})}
}

// Unwrap gives the connection that waits.
func (w *waitingConn) Unwrap() join.Conn { return w.Conn }

// Arrived ends the wait: something was read.
func (w *waitingConn) Arrived(err error) { w.end(err) }

func (w *waitingConn) end(err error) (ended bool) {
	w.leave.Do(func() {
		w.firstErr = err
		w.served.Store(true)
		close(w.left)
		ended = true
	})
	return ended
}

// withdraw closes the connection if it still waits.
func (w *waitingConn) withdraw() {
	if w.end(errGivenUp) {
		_ = w.Conn.Reset()
	}
}

// Read waits for the user's first byte.
func (w *waitingConn) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	switch {
	case w.served.Load() || len(b) == 0:
	case n > 0:
		w.Arrived(nil)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		w.Arrived(err)
	}
	return n, err
}

// WriteTo keeps io.Copy from going round Read.
func (w *waitingConn) WriteTo(dst io.Writer) (int64, error) {
	return io.Copy(dst, struct{ io.Reader }{w})
}

func (w *waitingConn) Close() error {
	w.end(errGivenUp)
	return w.Conn.Close()
}

func (w *waitingConn) Reset() error {
	w.end(errGivenUp)
	return w.Conn.Reset()
}
