package pool

import (
	"errors"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// errGivenUp is the end of a wait that its owner ended himself.
var errGivenUp = errors.New("closed before a user came")

// waitingConn is a connection in the pool. Its wait ends with the first byte
// or the end that is read from it, or when its owner closes it; until then it
// can be withdrawn.
type waitingConn struct {
	*protocol.FirstRead
	left     chan struct{} // closed when the wait is over
	firstErr error         // set before left is closed: nil if a byte came
}

func newWaitingConn(conn conn.Conn) *waitingConn {
	w := &waitingConn{left: make(chan struct{})}
	w.FirstRead = protocol.NewFirstRead(conn, func(err error) {
		w.firstErr = err
		close(w.left)
	})
	return w
}

// withdraw closes the connection if it still waits.
func (w *waitingConn) withdraw() {
	if w.Tell(errGivenUp) {
		_ = w.Conn.Reset()
	}
}

func (w *waitingConn) Close() error {
	w.Tell(errGivenUp)
	return w.Conn.Close()
}

func (w *waitingConn) Reset() error {
	w.Tell(errGivenUp)
	return w.Conn.Reset()
}
