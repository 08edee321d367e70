package join

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// closeConns closes both connections and reports the result. What was written is
// delivered before a reset, to a receiver that takes it within abortWait.
func (j *loopJoin) closeConns() {
	j.mu.Lock() // until the caller of close has unlocked it
	j.reported = true
	verdict, hopeless := j.verdict, j.hopeless
	j.mu.Unlock()
	err := verdict.err
	for side := range j.ends { // a stream delivers by itself
		if e := &j.ends[side]; e.stream != nil {
			err = closeConn(e.conn, err)
		}
	}
	limit := time.Now().Add(abortWait)
	for side := range j.ends {
		e := &j.ends[side]
		if e.stream != nil {
			continue
		}
		if e.fd >= 0 {
			var cut stopped
			if err != nil && !hopeless && !errors.As(err, &cut) {
				waitAcknowledged(limit, func() bool { return unacknowledged(e.fd) })
			}
			e.closeSocket(err)
		}
		err = closeConn(e.conn, err)
	}
	j.done(Result{AToB: j.flows[A].written, BToA: j.flows[B].written, First: verdict.first, Err: err})
}

// closeSocket closes the socket with an end, or, after an error, with a reset. If the peer
// has acknowledged the end already there is nothing left to prepare for.
func (e *end) closeSocket(err error) {
	if e.gone && err == nil {
		_ = unix.Close(e.fd)
		return
	}
	closeSocket(e.fd, err)
}
