package admission_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

// pass lets time pass in a bubble of synctest, where it costs nothing.
func pass(d time.Duration) { <-time.After(d) }

func TestRateLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := admission.NewRateLimiter(10, 20, 2)
		a := source(t, "192.0.2.1")
		allowed := func(n int) (got int) {
			for range n {
				if r.Allow(a) {
					got++
				}
			}
			return got
		}
		if got := allowed(50); got != 20 {
			t.Errorf("%d at once, want 20", got)
		}
		pass(time.Second)
		if got := allowed(50); got != 10 {
			t.Errorf("%d after a second, want 10", got)
		}
		for i := range 2 {
			if !r.Allow(source(t, fmt.Sprintf("198.51.100.%d", i))) {
				t.Error("another source is not allowed")
			}
		}
		if got := allowed(50); got != 20 {
			t.Errorf("%d of a source that was forgotten, want 20", got)
		}
		r.Set(1000, 2000)
		if got := allowed(50); got != 0 {
			t.Errorf("%d at once with another figure, want none", got)
		}
		pass(time.Second)
		if got := allowed(3000); got != 1000 {
			t.Errorf("%d after a second with another figure, want 1000", got)
		}
	})
}

// An event that comes too fast is delayed, and one that would be delayed too long takes
// nothing.
func TestRateLimiterReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := admission.NewRateLimiter(10, 20, 2)
		a := source(t, "192.0.2.1")
		for i := range 30 {
			want := time.Duration(max(i-19, 0)) * time.Second / 10
			if delay, ok := r.Reserve(a, time.Second); !ok || delay != want {
				t.Errorf("number %d is delayed by %v, %t; want %v", i, delay, ok, want)
			}
		}
		for range 5 {
			if delay, ok := r.Reserve(a, time.Second); ok {
				t.Errorf("one too many is delayed by %v", delay)
			}
		}
		pass(time.Second / 10)
		if delay, ok := r.Reserve(a, time.Second); !ok || delay != time.Second {
			t.Errorf("the next one is delayed by %v, %t", delay, ok)
		}
	})
}
