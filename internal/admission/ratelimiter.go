package admission

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// RateLimiter bounds how often something happens for each source. Make it with
// NewRateLimiter. Its methods may be called concurrently.
type RateLimiter struct {
	perSecond      rate.Limit
	burst, sources int

	mu sync.Mutex                        // guards what follows
	of *lru.Cache[Source, *rate.Limiter] // nil until there is a source to count
}

// NewRateLimiter returns a limiter that allows each source so many a second, and burst
// at once. It counts for as many sources as were the last: one that it has forgotten
// starts anew.
func NewRateLimiter(perSecond float64, burst, sources int) *RateLimiter {
	r := new(RateLimiter)
	r.init(perSecond, burst, sources)
	return r
}

func (r *RateLimiter) init(perSecond float64, burst, sources int) {
	r.perSecond, r.burst, r.sources = rate.Limit(perSecond), burst, sources
}

// Set has other figures hold from now on. What a source has left stays, if it is not
// more than burst.
func (r *RateLimiter) Set(perSecond float64, burst int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.perSecond, r.burst = rate.Limit(perSecond), burst
}

// Allow reports whether it may happen once more, now.
func (r *RateLimiter) Allow(source Source) bool {
	_, ok := r.Reserve(source, 0)
	return ok
}

// Reserve has it happen once more after a delay, or returns false if the delay would be
// longer than maxDelay.
func (r *RateLimiter) Reserve(source Source, maxDelay time.Duration) (delay time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = newLRU[Source, *rate.Limiter](r.sources)
	}
	l, known := r.of.Get(source)
	if !known {
		l = rate.NewLimiter(r.perSecond, r.burst)
		r.of.Add(source, l)
	}
	if l.Limit() != r.perSecond || l.Burst() != r.burst {
		l.SetLimit(r.perSecond)
		l.SetBurst(r.burst)
	}
	now := time.Now()
	reservation := l.ReserveN(now, 1)
	if delay = reservation.DelayFrom(now); delay > maxDelay {
		reservation.CancelAt(now)
		return 0, false
	}
	return delay, true
}

// newLRU returns a cache of a size that is a constant.
func newLRU[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // the size is not positive
	}
	return cache
}
