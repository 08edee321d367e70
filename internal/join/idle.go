package join

import (
	"errors"
	"time"
)

// errIdle is the cause with which an idle join ends.
var errIdle = errors.New("nothing moved")

// IdleLimits bounds how long a join may be idle whose owner is about to end.
type IdleLimits struct {
	// Limit is for both directions together. Something moves when bytes are written,
	// or acknowledged by a peer.
	Limit time.Duration
	// Queued is Limit while bytes wait for a peer. A peer that reads slowly takes many at
	// a time: its window has to grow by as many before it is advertised.
	Queued time.Duration
	// Far is the connection behind which there is another join, and its buffers. Ended
	// is Limit while that one has all, the end included, and its answer is awaited.
	Far   Side
	Ended time.Duration
}

// limit returns the limit that holds for a join with this progress.
func (s IdleLimits) limit(p progress) time.Duration {
	switch {
	case p.queued:
		return s.Queued
	case p.ended[s.Far]:
		return s.Ended
	}
	return s.Limit
}

// progress is how far a join has come.
type progress struct {
	written int64   // bytes, both ways
	unacked int     // of those, in sockets
	paused  bool    // bytes are held back on purpose
	queued  bool    // bytes wait for a peer
	ended   [2]bool // the end was written to this side
}

// moved reports whether something has moved since p.
func (p progress) moved(now progress) bool {
	return now.paused || now.written != p.written || now.unacked != p.unacked
}

// askedJoin is a Handle that can be asked for its progress.
type askedJoin interface {
	Handle
	progress() progress
}

// StopIdle stops joins of the set on which nothing moves for too long, from now on until Close.
// It is for an owner that waits for them. Only the first call counts.
func (s *Set) StopIdle(limits IdleLimits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && !s.stopsIdle {
		s.stopsIdle = true
		s.ending.Go(func() { s.stopIdle(limits) })
	}
}

// idleChecks is how often joins are checked within the shortest limit.
const idleChecks = 8

func (s *Set) stopIdle(limits IdleLimits) {
	type state struct {
		progress
		since time.Time
	}
	seen := make(map[askedJoin]state)
	every := time.NewTicker(limits.Limit / idleChecks)
	defer every.Stop()
	for {
		now, all := time.Now(), make(map[askedJoin]state)
		for _, j := range s.joins() {
			p := j.progress()
			before, known := seen[j]
			switch {
			case !known || before.moved(p):
				all[j] = state{p, now}
			case now.Sub(before.since) >= limits.limit(p):
				j.Stop(errIdle)
			default:
				all[j] = before
			}
		}
		seen = all
		select {
		case <-every.C:
		case <-s.closing:
			return
		}
	}
}

// joins returns those in progress.
func (s *Set) joins() []askedJoin {
	all := s.engine.loops.joins(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range s.copies {
		all = append(all, j)
	}
	return all
}
