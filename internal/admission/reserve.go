package admission

import (
	"os"
	"sync"
)

// Reserve holds descriptors for when there are none left. Make it with
// NewReserve. Its methods may be called concurrently.
type Reserve struct {
	mu   sync.Mutex // guards what follows
	all  int
	held []*os.File
}

// NewReserve holds up to n descriptors, as many as it gets.
func NewReserve(n int) *Reserve {
	r := &Reserve{all: n}
	r.fillLocked()
	return r
}

func (r *Reserve) fillLocked() {
	for len(r.held) < r.all {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return // there will be more at another time
		}
		r.held = append(r.held, f)
	}
}

// Lend frees one descriptor, and gives false if it has none. Fill gets it back.
func (r *Reserve) Lend() bool { return r.lend(1) }

// LendSpare is Lend for who may keep what is lent: the last one stays, or nobody
// could be answered any more.
func (r *Reserve) LendSpare() bool { return r.lend(2) }

func (r *Reserve) lend(least int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.held)
	if n < least {
		return false
	}
	_ = r.held[n-1].Close()
	r.held = r.held[:n-1]
	return true
}

// Fill gets back what was lent, as far as there are descriptors.
func (r *Reserve) Fill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fillLocked()
}

// Empty tells whether everything is lent, and has not come back.
func (r *Reserve) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held) == 0 && r.all > 0
}

// Close frees all, for good.
func (r *Reserve) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = 0
	for _, f := range r.held {
		_ = f.Close()
	}
	r.held = nil
}
