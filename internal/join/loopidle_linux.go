package join

// joins returns those of a set, on all loops.
func (l *loops) joins(of *Set) (all []askedJoin) {
	known := make(map[*loopJoin]struct{})
	for _, loop := range l.all {
		for _, h := range loop.Handlers() {
			if e, ok := h.(*end); ok && e.join.set == of {
				known[e.join] = struct{}{}
			}
		}
	}
	for j := range known {
		all = append(all, j)
	}
	return all
}

func (j *loopJoin) progress() (p progress) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closing {
		return progress{paused: true} // it ends by itself
	}
	for side := range j.ends {
		e, to := &j.ends[side], &j.flows[1-side]
		p.written += to.written
		p.ended[side] = to.endSent
		if e.stream != nil {
			p.queued = p.queued || to.src.readable && !to.over // or it would have been read
			continue
		}
		p.unacked += queued(e.fd)
	}
	p.queued = p.queued || p.unacked > 0
	return p
}

// Moved returns how many bytes have been written to each side.
func (j *loopJoin) Moved() (aToB, bToA int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.flows[A].written, j.flows[B].written
}

// Stop ends the join at once.
func (j *loopJoin) Stop(reason error) { j.stop(A, stopped{reason}) }
