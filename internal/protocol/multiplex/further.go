package multiplex

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// healthy is for how long a further session has to stand for the relay to have
	// accepted it: it answers nothing, and resets what it refuses.
	healthy = 5 * time.Second
	// minPause and maxPause bound the pause before the next further session, after one
	// that has failed or was brief. The relay bans an address that sends too many ids
	// which it does not know, as those of before its restart are: more than 20 a minute.
	minPause = 250 * time.Millisecond
	maxPause = 30 * time.Second
)

// keepSessions makes further sessions, one after the other, whenever there are fewer than
// there should be, until the registration ends.
func (r *registration) keepSessions(serving *sync.WaitGroup, accepted protocol.Acceptor) {
	for r.awaitVacancy() {
		conn, err := protocol.Send(r.ctx, r.dial, wire.Request{Options: r.claim, Verb: verb})
		if err != nil {
			r.mu.Lock()
			r.failures++
			r.mu.Unlock()
			r.reportFailure(err)
			continue
		}
		if s := r.addSession(conn, true); s != nil {
			serving.Go(func() { r.accept(s, accepted) })
		}
	}
}

// awaitVacancy waits until a session is missing, and longer after failures, for as long as
// those are in a row. It returns false if the registration has ended before.
func (r *registration) awaitVacancy() bool {
	for r.ctx.Err() == nil {
		r.mu.Lock()
		missing, failures := r.size-len(r.sessions), r.failures
		r.mu.Unlock()
		if missing > 0 && r.sleep(pauseAfter(failures)) {
			return true
		}
		if missing == 0 {
			select {
			case <-r.changed:
			case <-r.ctx.Done():
			}
		}
	}
	return false
}

// pauseAfter returns the pause after so many failures in a row.
func pauseAfter(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	pause := maxPause
	if failures < 16 {
		pause = min(minPause<<failures, maxPause)
	}
	return pause/2 + rand.N(pause/2) //nolint:gosec // spreads load, hides nothing
}

// sleep waits for d. It returns false if something changes before, or the registration
// ends.
func (r *registration) sleep(d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.changed:
	case <-r.ctx.Done():
	}
	return false
}
