package relay

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between registrations. The jitter is full, from nothing to the whole
// pause: when a relay comes back, its relay clients are not to come all at
// once. The pause grows with failures alone: a session that has served a user, or
// stood for healthy, is none, however it ends. What keeps failing right after it
// has registered fails sooner than that.
const (
	minPause = 250 * time.Millisecond
	maxPause = 30 * time.Second
	healthy  = 5 * time.Second
	// refusedPause bounds the first pause after a refusal whose reason does not pass by
	// itself, in place of minPause: such tries cost the relay something and lead to
	// nothing, but the first one after somebody has mended it is not to be late.
	refusedPause = 8 * time.Second
)

// backoff says how long to wait before the next try. The zero value is ready.
type backoff struct{ pause time.Duration }

// next gives the pause before the next try.
func (b *backoff) next() time.Duration {
	b.pause = min(max(2*b.pause, minPause), maxPause)
	return rand.N(b.pause) //nolint:gosec // spreads load, hides nothing
}

// refused has the next pause be a longer one.
func (b *backoff) refused() { b.pause = max(b.pause, refusedPause/2) }

// served says how long the session of the last try stood, and whether it has served
// a user.
func (b *backoff) served(held time.Duration, user bool) {
	if user || held >= healthy {
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
