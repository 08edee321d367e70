package pool

import (
	"errors"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// errGivenUp is the outcome of a wait that the local side has ended.
var errGivenUp = errors.New("closed before a user came")

// waitingConn is a connection in the pool. It waits until something, or an error, is read
// from it, or until it is closed. As long as it waits it can be withdrawn.
type waitingConn struct {
	*protocol.FirstRead
	done chan struct{} // closed when the wait is over
	err  error         // set before done is closed: nil if a byte has arrived
}

func newWaitingConn(conn conn.Conn) *waitingConn {
	w := &waitingConn{done: make(chan struct{})}
	w.FirstRead = protocol.NewFirstRead(conn, func(err error) {
		w.err = err
		close(w.done)
	})
	return w
}

// withdraw resets the connection if it still waits.
func (w *waitingConn) withdraw() {
	if w.Notify(errGivenUp) {
		_ = w.Conn.Reset()
	}
}

func (w *waitingConn) Close() error {
	w.Notify(errGivenUp)
	return w.Conn.Close()
}

func (w *waitingConn) Reset() error {
	w.Notify(errGivenUp)
	return w.Conn.Reset()
}
