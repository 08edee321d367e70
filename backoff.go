package relay

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/seed96252745/relay/internal/wire"
)

// Pauses between registrations. The jitter is full, from nothing to the whole pause: when a
// relay comes back, its relay clients must not come all at once. Only failures make the
// pause grow. A session that has served a user, or stood for healthy, is no failure,
// however it ends; a session that keeps failing right after its registration ends sooner.
const (
	minPause = 250 * time.Millisecond
	maxPause = 30 * time.Second
	healthy  = 5 * time.Second
	// refusedPause replaces minPause after a refusal whose reason does not pass by itself.
	// Such tries cost the relay something and lead to nothing, but the first one after
	// somebody has mended the reason must not be late.
	refusedPause = 8 * time.Second
	// soonPause bounds pauses for soonFor after the relay was lost that had served, or has
	// announced that it shuts down. Most often it is being restarted, and users find the
	// port closed, or wait at it for 10 seconds.
	soonPause = time.Second
	soonFor   = time.Minute
	// standbyPause bounds pauses while another process serves the port. When that process
	// is gone, users wait at the port for 10 seconds.
	standbyPause = 5 * time.Second
)

// backoff chooses the pause before the next try. The zero value is ready.
type backoff struct {
	pause   time.Duration
	soon    time.Time // until then the relay is likely to be back at any moment
	standby bool      // another process serves the port
}

// next returns the pause before the next try.
func (b *backoff) next() time.Duration {
	most := maxPause
	switch {
	case time.Now().Before(b.soon):
		most = soonPause
	case b.standby:
		most = standbyPause
	}
	b.pause = min(max(2*b.pause, minPause), most)
	return rand.N(b.pause) //nolint:gosec // spreads load, hides nothing
}

// failed notes that a try has failed, or a session has ended. It reports whether another
// process serves the port.
func (b *backoff) failed(err error) (standby bool) {
	refused := new(RefusedError)
	b.standby = false
	switch {
	case !errors.As(err, &refused):
	case refused.Code == wire.CodeDraining:
		b.soon = time.Now().Add(soonFor)
	case refused.Code == wire.CodeSuperseded:
		b.soon, b.standby = time.Time{}, true // the relay is there
	case refused.lasts():
		b.soon, b.pause = time.Time{}, max(b.pause, refusedPause/2)
	}
	return b.standby
}

// served notes how long the session of the last try stood, and whether it has served a
// user.
func (b *backoff) served(held time.Duration, user bool) {
	if user || held >= healthy {
		b.pause, b.soon = 0, time.Now().Add(soonFor)
	}
}
