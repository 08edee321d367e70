package observe_test

import (
	"slices"
	"testing"

	"github.com/seed96252745/relay/internal/observe"
)

// heard notes the names of events, with who has heard them.
type heard struct {
	who string
	in  *[]string
}

func (h heard) Observe(e observe.Event) { *h.in = append(*h.in, h.who+" "+string(e.Name)) }

func TestTee(t *testing.T) {
	var in []string
	a, b := heard{"a", &in}, heard{"b", &in}
	both := observe.Tee(a, b)
	both.Observe(observe.Event{Name: observe.UserDone})
	both.Observe(observe.Event{Name: observe.UserReset})
	if want := []string{"a user_done", "b user_done", "a user_reset", "b user_reset"}; !slices.Equal(in, want) {
		t.Errorf("heard %q, want %q", in, want)
	}
	if single := observe.Tee(a); single != observe.Sink(a) {
		t.Errorf("a single sink is wrapped: %T", single)
	}
}
