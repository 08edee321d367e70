package admission

import (
	"hash/maphash"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// repeatKeys bounds the keys that are remembered, which takes half a megabyte.
	repeatKeys = 4096
	// repeatForgiven is after how long the delay of a key starts anew.
	repeatForgiven = 10 * time.Minute
	// repeatSteps is how much longer the longest delay is than the first.
	repeatSteps = 32
)

// RepeatDelay slows down peers that send the same key again and again: the second time is
// delayed, and each further time twice as long. Make it with NewRepeatDelay. It may be
// used concurrently.
//
// Keys may be secrets. RepeatDelay keeps a hash of each, made with a seed of this process,
// which is of no use to anybody else.
type RepeatDelay struct {
	longest time.Duration
	seed    maphash.Seed

	mu sync.Mutex // guards what follows
	of *lru.Cache[uint64, *repeat]
}

type repeat struct {
	last  time.Time
	delay time.Duration
}

// NewRepeatDelay returns a RepeatDelay that delays nobody for longer than longest.
func NewRepeatDelay(longest time.Duration) *RepeatDelay {
	return &RepeatDelay{longest: longest, seed: maphash.MakeSeed(), of: newLRU[uint64, *repeat](repeatKeys)}
}

// Next returns the delay for a key that has come once more, and whether it has come for
// the first time, as far as is remembered.
func (r *RepeatDelay) Next(key string) (delay time.Duration, first bool) {
	hash, now := maphash.String(r.seed, key), time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	k, known := r.of.Get(hash)
	switch {
	case !known:
		r.of.Add(hash, &repeat{last: now})
		return 0, true
	case now.Sub(k.last) > repeatForgiven:
		k.delay = 0
	default:
		k.delay = min(2*max(k.delay, r.longest/repeatSteps/2), r.longest)
	}
	k.last = now
	return k.delay, false
}
