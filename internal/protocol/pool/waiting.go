package pool

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// errGivenUp is the outcome of a wait that the local side has ended.
var errGivenUp = errors.New("closed before a user came")

// waitingConn is a connection in the pool. It waits until something, or an error, is read
// from it, or until it is closed. As long as it waits it can be withdrawn.
type waitingConn struct {
	*protocol.FirstRead
	slot    *slot
	since   time.Time
	pending atomic.Int32 // of the end of the wait, and of the Acceptor
	err     error        // set at the end of the wait: nil if a byte has arrived
}

func newWaitingConn(s *slot, conn conn.Conn) *waitingConn {
	w := &waitingConn{slot: s, since: time.Now()}
	w.pending.Store(2)
	w.FirstRead = protocol.NewFirstRead(conn, func(err error) {
		w.err = err
		w.release()
	})
	return w
}

// accept waits until the Acceptor has taken the connection.
func (w *waitingConn) accept() {
	w.slot.accepted(w.slot.ctx, w)
	w.release()
}

// tryAccept is accept for a caller that cannot wait. It returns false, and has done nothing,
// if accept would wait. It resets the connection if the Acceptor panics.
func (w *waitingConn) tryAccept() bool {
	panicked := true
	defer func() {
		if panicked {
			w.withdraw()
			w.release()
		}
	}()
	accepted := w.slot.loop.TryAccept(w.slot.ctx, w)
	panicked = false
	if accepted {
		w.release()
	}
	return accepted
}

// release is called at the end of the wait, and when the Acceptor has returned. The second
// call frees the slot.
func (w *waitingConn) release() {
	if w.pending.Add(-1) == 0 {
		w.slot.waited(w)
	}
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
