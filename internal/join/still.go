package join

import (
	"errors"
	"time"
)

// errStill is the cause with which a join ends on which nothing moved.
var errStill = errors.New("nothing moved")

// Stillness is for how long nothing may move on a join whose owner is about to end.
type Stillness struct {
	// Limit is for both directions together. Something moves when bytes are written,
	// or acknowledged by a peer.
	Limit time.Duration
	// Queued is Limit while bytes wait for a peer. One who reads slowly takes many at
	// a time, as many as its window has to grow by before it is told of.
	Queued time.Duration
	// Far is the connection behind which there is another join, and its buffers. Ended
	// is Limit while that one has all, the end included, and its answer is awaited.
	Far   Side
	Ended time.Duration
}

// limit gives the one for a join that is so.
func (s Stillness) limit(p progress) time.Duration {
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
	ended   [2]bool // this side was told that no more comes
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

// EndStill has joins end on which nothing moves for too long, from now on until Close.
// It is for an owner who waits for them. Only the first call counts.
func (e *Engine) EndStill(s Stillness) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed && !e.still {
		e.still = true
		e.ending.Go(func() { e.endStill(s) })
	}
}

// looksWithin is how often is looked within a limit.
const looksWithin = 8

func (e *Engine) endStill(s Stillness) {
	type state struct {
		progress
		since time.Time
	}
	seen := make(map[askedJoin]state)
	every := time.NewTicker(s.Limit / looksWithin)
	defer every.Stop()
	for {
		now, all := time.Now(), make(map[askedJoin]state)
		for _, j := range e.joins() {
			p := j.progress()
			before, known := seen[j]
			switch {
			case !known || before.moved(p):
				all[j] = state{p, now}
			case now.Sub(before.since) >= s.limit(p):
				j.Stop(errStill)
			default:
				all[j] = before
			}
		}
		seen = all
		select {
		case <-every.C:
		case <-e.closing:
			return
		}
	}
}

// joins gives those that are under way.
func (e *Engine) joins() []askedJoin {
	all := e.loops.joins()
	e.mu.Lock()
	defer e.mu.Unlock()
	for j := range e.copies {
		all = append(all, j)
	}
	return all
}
