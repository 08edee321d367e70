package join

import "time"

// progressChecks is how often progress is checked within the time in which there has to
// be some.
const progressChecks = 10

// watchProgress ends the join for the given reason when no byte has been delivered for
// limit. Of several limits the strictest holds.
func (j *loopJoin) watchProgress(limit time.Duration, side Side, reason error) {
	if j.timer != nil && j.limit <= limit {
		return
	}
	if j.timer != nil {
		j.timer.Stop()
	}
	j.limit = limit
	delivered, still := int64(-1), 0 // counted at the first check: most joins are over by then
	var timer *time.Timer
	timer = time.AfterFunc(limit/progressChecks, func() {
		j.mu.Lock()
		defer j.unlock()
		if j.closing || j.timer != timer {
			return
		}
		now := j.delivered()
		if still++; now != delivered {
			delivered, still = now, 0
		}
		if still < progressChecks {
			timer.Reset(limit / progressChecks)
			return
		}
		j.verdict.record(side, reason)
		j.hopeless = true
		j.close()
	})
	j.timer = timer
}

// delivered returns how many bytes both peers have taken. A peer that reads slowly takes
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
