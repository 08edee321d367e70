package join

import "time"

// A flow that waits for its receiver is no sign of a stall: every transfer does so whose
// receiver is slower than its sender. So those that wait are checked at intervals, and count
// in the crowd when their receivers have taken nothing meanwhile.
//
// A thousand users may come within a tenth of a second, ask for much, and read nothing. By
// the time of a check all of them have been served. So a join that is new counts from
// its first wait until two checks have seen its receiver take something.
const (
	stallInterval = 50 * time.Millisecond
	// newcomer is how long a join is new.
	newcomer = time.Second
	// askEvery is in how many intervals a join that is older is asked once. It counts at the
	// stallChecks-th time: after a second, in which a stream's window opens even at 1 Mbit/s.
	askEvery    = 5
	stallChecks = 4
	// unasked stands for what the receiver had taken before the first check.
	unasked = -1
)

// waiting is what is known of a flow that waits for its receiver. It is guarded by the
// join's lock.
type waiting struct {
	before  bool  // it has waited before
	counted bool  // in the crowd
	checked bool  // is in the loop's list
	stalled bool  // is counted, and needs no further checks
	passed  uint8 // intervals since it was asked
	still   uint8 // how often the receiver had taken nothing
	place   int32 // in the list, whose lock guards it
	taken   int64 // by the receiver, when it was asked
}

// wait is called when a flow has to wait for an event. If that is its receiver's, the flow
// is checked until it is not.
func (f *flow) wait() {
	w := &f.waiting
	switch {
	case !f.isHeldUp():
		// If it only is checked the next check ends that: a flow that waits for its source and
		// for its receiver in turn would take the list's lock each time.
		if w.stalled {
			f.recovered()
		}
	case !w.checked && !w.stalled:
		w.checked, w.passed, w.still, w.taken = true, askEvery, 0, unasked
		f.src.join.loop.waiting.add(f)
		if !w.before {
			w.before = true
			f.count(f.src.join.isNew())
		}
	}
}

func (j *loopJoin) isNew() bool { return time.Since(j.began) < newcomer }

// isHeldUp reports whether a flow that waits does so for its receiver.
func (f *flow) isHeldUp() bool {
	return f.dst.full || f.dst.stream != nil && f.src.readable
}

// count has a flow count in the crowd, or not.
func (f *flow) count(counted bool) {
	if counted == f.waiting.counted {
		return
	}
	f.waiting.counted = counted
	if counted {
		f.src.join.set.engine.crowd.stalled.Add(1)
	} else {
		f.src.join.set.engine.crowd.stalled.Add(-1)
	}
}

// recovered ends the checks of a flow, which counts no more.
func (f *flow) recovered() {
	f.endChecks()
	f.waiting.stalled = false
	f.count(false)
}

func (f *flow) endChecks() {
	if f.waiting.checked {
		f.waiting.checked = false
		f.src.join.loop.waiting.remove(f)
	}
}

func (f *flow) placed() *int32 { return &f.waiting.place }

// check counts a flow in the crowd whose receiver has taken nothing for too long.
func (f *flow) check(time.Duration) {
	j := f.src.join
	j.mu.Lock()
	defer j.unlock()
	w := &f.waiting
	if j.closing || !w.checked {
		return
	}
	if !f.isHeldUp() {
		f.recovered()
		return
	}
	isNew := j.isNew()
	if w.passed++; !isNew && w.passed < askEvery {
		return
	}
	w.passed = 0
	taken := f.written
	if f.dst.fd >= 0 {
		taken -= int64(queued(f.dst.fd))
	}
	if taken != w.taken {
		f.count(w.counted && w.taken == unasked)
		w.taken, w.still = taken, 0
		return
	}
	if w.still++; isNew || w.still >= stallChecks {
		f.endChecks()
		w.stalled = true
		f.count(true)
	}
}
