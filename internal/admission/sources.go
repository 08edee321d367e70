package admission

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Sources bounds how many there are of each source at a time. Make it with
// NewSources. Its methods may be called concurrently.
type Sources struct {
	max int

	mu sync.Mutex // guards what follows
	of map[Source]int
}

// NewSources allows so many for each.
func NewSources(most int) *Sources { return &Sources{max: most, of: make(map[Source]int)} }

// Enter counts one, unless there are as many as may be.
func (s *Sources) Enter(from Source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[from] >= s.max {
		return false
	}
	s.of[from]++
	return true
}

// Add counts one, even beyond what may be.
func (s *Sources) Add(from Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[from]++
}

// Leave counts one out.
func (s *Sources) Leave(from Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[from]--; s.of[from] == 0 {
		delete(s.of, from)
	}
}

// Rates bounds how often something happens for each source. Make it with
// NewRates. Its methods may be called concurrently.
type Rates struct {
	perSecond      rate.Limit
	burst, sources int

	mu sync.Mutex                        // guards what follows
	of *lru.Cache[Source, *rate.Limiter] // nil until there is somebody to count
}

// NewRates allows so many a second, and burst at once. It keeps count of the last
// so many sources: who is forgotten starts anew.
func NewRates(perSecond float64, burst, sources int) *Rates {
	return &Rates{perSecond: rate.Limit(perSecond), burst: burst, sources: sources}
}

// Set has other figures hold, from now on. What a source has left stays, if it is not
// more than burst.
func (r *Rates) Set(perSecond float64, burst int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.perSecond, r.burst = rate.Limit(perSecond), burst
}

// Allow reports whether it may happen once more, now.
func (r *Rates) Allow(from Source) bool {
	_, ok := r.Take(from, 0)
	return ok
}

// Take has it happen once more, and gives how long that has to be waited for. If it is
// longer than most it must not happen.
func (r *Rates) Take(from Source, most time.Duration) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = newLRU[Source, *rate.Limiter](r.sources)
	}
	of, known := r.of.Get(from)
	if !known {
		of = rate.NewLimiter(r.perSecond, r.burst)
		r.of.Add(from, of)
	}
	if of.Limit() != r.perSecond || of.Burst() != r.burst {
		of.SetLimit(r.perSecond)
		of.SetBurst(r.burst)
	}
	now := time.Now()
	one := of.ReserveN(now, 1)
	if wait = one.DelayFrom(now); wait > most {
		one.CancelAt(now)
		return 0, false
	}
	return wait, true
}

// newLRU gives a cache of a size that is a constant of ours.
func newLRU[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // the size is not positive
	}
	return cache
}
