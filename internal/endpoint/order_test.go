package endpoint_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/endpoint"
)

// Nobody waits for one whom a limit holds up, but for those before that one.
func TestTurnsBehindOneWhoIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		order := new(endpoint.Order)
		for _, wait := range []time.Duration{0, time.Second, 0, 0} {
			order.Come(wait)
		}
		if got := order.After(3); got != 1 {
			t.Errorf("the one behind one who is held up comes after %d, want 1", got)
		}
		<-time.After(time.Second)
		if got := order.After(3); got != 2 {
			t.Errorf("it comes after %d when that is over, want 2", got)
		}
		if got := order.After(2); got != 1 {
			t.Errorf("the one who was held up comes after %d, want 1", got)
		}
		if got := order.After(4); got != 3 {
			t.Errorf("the next one comes after %d, want 3", got)
		}
	})
}

// In a group nobody waits for a user whom another member has, or is to have, and each comes
// after the last one who goes to the same member.
func TestTurnsInGroup(t *testing.T) {
	order := new(endpoint.Order)
	one, two := endpoint.Mate(), endpoint.Mate()
	for n, to := range []*endpoint.Tunnel{one, two, one, two, two, one, nil, one} {
		order.Come(0)
		order.GoTo(uint64(n+1), to)
	}
	for _, want := range []struct {
		number, after uint64
		to            *endpoint.Tunnel
	}{
		{1, 0, one}, {2, 0, two}, {4, 2, two}, {3, 1, one}, {6, 3, one}, {5, 4, two}, {8, 6, one},
	} {
		if got := order.AfterAt(want.number, want.to); got != want.after {
			t.Errorf("user %d comes after %d, want %d", want.number, got, want.after)
		}
	}
}
