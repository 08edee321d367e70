package join

import (
	"errors"
	"time"
)

// finish closes both connections and tells the result. What was written is
// delivered before a reset, by a receiver that takes it within abortWait.
func (j *loopJoin) finish() {
	j.mu.Lock() // until whoever has closed the join has left it
	j.told = true
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
			closeSocket(e.fd, err)
		}
		err = closeConn(e.conn, err)
	}
	j.done(Result{AToB: j.flows[A].written, BToA: j.flows[B].written, First: verdict.first, Err: err})
}
