package join

import "time"

// looks is how often is looked for progress within the time in which there has
// to be some.
const looks = 10

// watchProgress ends the join for the given reason when no byte has been
// delivered for as long as limit. Of several limits the strictest holds.
func (j *loopJoin) watchProgress(limit time.Duration, side Side, reason error) {
	if j.timer != nil && j.limit <= limit {
		return
	}
	if j.timer != nil {
		j.timer.Stop()
	}
	j.limit = limit
	delivered, still := int64(-1), 0 // counted at the first look: most joins are over by then
	var timer *time.Timer
	timer = time.AfterFunc(limit/looks, func() {
		j.mu.Lock()
		defer j.leave()
		if j.closing || j.timer != timer {
			return
		}
		now := j.delivered()
		if still++; now != delivered {
			delivered, still = now, 0
		}
		if still < looks {
			timer.Reset(limit / looks)
			return
		}
		j.verdict.end(side, reason)
		j.hopeless = true
		j.close()
	})
	j.timer = timer
}

// delivered is how many bytes both peers have taken. One who reads slowly takes
// bytes long before there is room to write more.
func (j *loopJoin) delivered() int64 {
	n := j.flows[A].written + j.flows[B].written
	for side := range j.ends {
		if fd := j.ends[side].fd; fd >= 0 {
			n -= int64(queued(fd))
		}
	}
	return n
}
