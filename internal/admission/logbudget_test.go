package admission_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

// A source that causes many lines has few of them written, and is told of with the next.
func TestLogBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := admission.NewLogBudget(10)
		a := source(t, "192.0.2.1").Prefix()
		for i := range 100 {
			if _, ok := l.Allow(a); ok != (i < 10) {
				t.Fatalf("line %d is allowed: %v", i, ok)
			}
		}
		if _, ok := l.Allow(source(t, "192.0.2.2").Prefix()); !ok {
			t.Error("another source has no budget of its own")
		}
		for _, want := range []int{90, 0} {
			pass(6 * time.Second)
			if leftOut, ok := l.Allow(a); !ok || leftOut != want {
				t.Errorf("after a while: %v, and %d were left out; want true, %d", ok, leftOut, want)
			}
		}
	})
}
