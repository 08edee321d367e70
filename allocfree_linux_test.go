//go:build !race

package relay_test

import (
	"math"
	"testing"

	"github.com/seed96252745/relay"
)

// TestSmallMessagesAllocateNothing has a message go there and back over and over: relay and
// forwarder allocate for a connection, and for nothing that it carries. The race detector
// empties pools at random, so it has no part in this.
func TestSmallMessagesAllocateNothing(t *testing.T) {
	// Others in the process allocate now and then, such as a pool that is being filled: of
	// several batches the best one counts.
	const batches, messages, others = 10, 1000, 10
	for _, protocol := range []relay.Protocol{relay.Pool, relay.Event} {
		t.Run(string(protocol), func(t *testing.T) {
			u := connectBare(t, quietTunnel(t, protocol))
			defer u.close()
			message := make([]byte, smallMessage)
			for range 100 { // buffers that are kept are made by the first ones
				u.bounce(t, message)
			}
			best := uint64(math.MaxUint64)
			for i := 0; i < batches && best > others; i++ {
				before := mallocs()
				for range messages {
					u.bounce(t, message)
				}
				best = min(best, mallocs()-before)
			}
			if best > others {
				t.Errorf("%d messages there and back allocated %d times", messages, best)
			}
		})
	}
}
