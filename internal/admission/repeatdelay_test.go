package admission_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

// A key that repeats is delayed for longer and longer, and no other key is.
func TestRepeatDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := admission.NewRepeatDelay(3200 * time.Millisecond)
		want := []time.Duration{0, 100, 200, 400, 800, 1600, 3200, 3200}
		for i, ms := range want {
			if delay, first := r.Next("old"); delay != ms*time.Millisecond || first != (i == 0) {
				t.Errorf("time %d: got %v, %v; want %v ms", i, delay, first, int(ms))
			}
			pass(time.Minute)
		}
		if delay, first := r.Next("another"); delay != 0 || !first {
			t.Errorf("another key is delayed by %v", delay)
		}
		pass(time.Hour)
		if delay, first := r.Next("old"); delay != 0 || first {
			t.Errorf("after an hour it is delayed by %v, and is new: %v", delay, first)
		}
		if delay, _ := r.Next("old"); delay != 100*time.Millisecond {
			t.Errorf("then it is delayed by %v", delay)
		}
		for i := range 10_000 {
			r.Next(strconv.Itoa(i))
		}
		if _, first := r.Next("old"); !first {
			t.Error("keys are remembered without bound")
		}
	})
}
