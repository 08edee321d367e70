package admission

import (
	"hash/maphash"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// repeatWords bounds the words that are remembered, which takes half a megabyte.
	repeatWords = 4096
	// repeatForgiven is after how long a word is new again, as far as waiting goes.
	repeatForgiven = 10 * time.Minute
	// repeatSteps is how much longer the longest wait is than the first.
	repeatSteps = 32
)

// Repeats slows down who says the same again and again: who does it for the second time
// waits, and each further time twice as long. Make it with NewRepeats. It may be used
// concurrently.
//
// Words may be secrets. Of each a hash is kept that says nothing to anybody else, since
// it was made with a seed of this process.
type Repeats struct {
	longest time.Duration
	seed    maphash.Seed

	mu sync.Mutex // guards what follows
	of *lru.Cache[uint64, *repeat]
}

type repeat struct {
	last time.Time
	wait time.Duration
}

// NewRepeats has nobody wait for longer than longest.
func NewRepeats(longest time.Duration) *Repeats {
	return &Repeats{longest: longest, seed: maphash.MakeSeed(), of: newLRU[uint64, *repeat](repeatWords)}
}

// Again gives how long who says a word has to wait, and whether nobody has said it yet,
// as far as is remembered.
func (r *Repeats) Again(word string) (wait time.Duration, first bool) {
	key, now := maphash.String(r.seed, word), time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w, known := r.of.Get(key)
	switch {
	case !known:
		r.of.Add(key, &repeat{last: now})
		return 0, true
	case now.Sub(w.last) > repeatForgiven:
		w.wait = 0
	default:
		w.wait = min(2*max(w.wait, r.longest/repeatSteps/2), r.longest)
	}
	w.last = now
	return w.wait, false
}
