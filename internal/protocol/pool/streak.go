package pool

import (
	"sync"
	"time"
)

// streak counts events in a row, and knows when it began.
type streak struct {
	mu    sync.Mutex // guards what follows
	n     int
	since time.Time
}

// add counts an event, and returns how many there are, and since how long.
func (r *streak) add() (n int, lasts time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		r.since = time.Now()
	}
	r.n++
	return r.n, time.Since(r.since)
}

// reset ends the streak.
func (r *streak) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n = 0
}
