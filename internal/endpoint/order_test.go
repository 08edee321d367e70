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
