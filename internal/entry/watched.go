package entry

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// watched is a listener that an event loop watches. The joins of its connections are on
// such a loop too, so that nobody else has to be woken for a user. What has to be waited for
// is left to the goroutine of Serve. Nothing is accepted meanwhile.
type watched struct {
	*Acceptor
	listener conn.TryListener
	handle   Handle
	steps    chan step   // has room for one, and for the end
	paused   atomic.Bool // while there is a step
	accepted bool        // a connection, since the last step; used by the loop's goroutine only
}

// step is what the goroutine of Serve is to do: to wait, to pass an error of TryAccept, or
// to return one.
type step struct {
	kind stepKind
	wait func()
	err  error
}

type stepKind uint8

const (
	toWait       stepKind = iota
	toRetry               // after the first error
	toRetryAgain          // no connection was accepted since the last one
	toEnd
)

// acceptBatch is how many connections are accepted before the loop's other sockets have
// their turn.
const acceptBatch = 16

// ready accepts what has come.
func (w *watched) ready() (again bool) {
	if w.paused.Load() {
		return false
	}
	for range acceptBatch {
		c, err := w.listener.TryAccept()
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return false
		case err != nil:
			w.pause(step{kind: w.retryKind(), err: err})
			return false
		}
		w.accepted = true
		if wait := w.handOver(c, w.handle); wait != nil {
			w.pause(step{kind: toWait, wait: wait})
			return false
		}
	}
	return true
}

func (w *watched) retryKind() stepKind {
	if w.accepted {
		w.accepted = false
		return toRetry
	}
	return toRetryAgain
}

// pause has the goroutine of Serve take a step, and accepts nothing until then.
func (w *watched) pause(s step) {
	w.paused.Store(true)
	w.steps <- s
}

// end has Serve return.
func (w *watched) end(err error) { w.steps <- step{kind: toEnd, err: err} }

// serve takes the steps. A channel alone takes less of a stack than a select does, and each
// public port has a goroutine here.
func (w *watched) serve(ctx context.Context, short Shortage, resume func()) error {
	pause := time.Duration(0)
	for s := range w.steps {
		switch s.kind {
		case toEnd:
			return s.err
		case toWait:
			s.wait()
		case toRetry, toRetryAgain:
			if s.kind == toRetry {
				pause = 0
			}
			var err error
			if pause, err = w.retry(ctx, w.listener.TryAccept, w.listener.Addr(), short, pause, s.err); err != nil {
				return err
			}
		}
		w.paused.Store(false)
		resume()
	}
	return net.ErrClosed // which nobody does
}
