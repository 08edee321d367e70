package relay

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between registrations. The jitter is full, from nothing to the whole
// pause: when a relay comes back, its relay clients are not to come all at
// once. A registration that stood for healthy starts again with the shortest.
const (
	minPause = 250 * time.Millisecond
	maxPause = 30 * time.Second
	healthy  = time.Minute
)

// backoff says how long to wait before the next try. The zero value is ready.
type backoff struct{ pause time.Duration }

// next gives the pause before the next try.
func (b *backoff) next() time.Duration {
	b.pause = min(max(2*b.pause, minPause), maxPause)
	return rand.N(b.pause) //nolint:gosec // spreads load, hides nothing
}

// served tells how long the last try held.
func (b *backoff) served(held time.Duration) {
	if held >= healthy {
		b.pause = 0
	}
}

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
