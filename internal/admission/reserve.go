package admission

import (
	"os"
	"sync"
)

// Reserve holds descriptors for when no others are left. Make it with NewReserve. Its
// methods may be called concurrently.
type Reserve struct {
	mu   sync.Mutex // guards what follows
	all  int
	held []*os.File
}

// NewReserve returns a reserve of n descriptors, or of as many as there are.
func NewReserve(n int) *Reserve {
	r := &Reserve{all: n}
	r.fillLocked()
	return r
}

func (r *Reserve) fillLocked() {
	for len(r.held) < r.all {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return // there may be more at the next Fill
		}
		r.held = append(r.held, f)
	}
}

// Lend frees one descriptor, and reports whether it had one. Fill gets it back.
func (r *Reserve) Lend() bool { return r.lend(1) }

// LendSpare is Lend for a connection that may stay: the last descriptor is not lent, or
// no other connection could be answered any more.
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

// Fill gets back the descriptors that were lent, as far as there are any.
func (r *Reserve) Fill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fillLocked()
}

// Empty reports whether all descriptors are lent.
func (r *Reserve) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held) == 0 && r.all > 0
}

// Close frees all descriptors, for good.
func (r *Reserve) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = 0
	for _, f := range r.held {
		_ = f.Close()
	}
	r.held = nil
}
