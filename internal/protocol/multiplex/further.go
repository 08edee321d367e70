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
	// maxRefusals is after how many refusals in a row the client makes no further
	// session before it knows why. One may be an accident of the network's.
	maxRefusals = 2
)

// keepSessions makes further sessions, one after the other, whenever there are fewer than
// there should be, until the registration ends, or they turn out to come to another relay.
func (r *registration) keepSessions(serving *sync.WaitGroup, accepted protocol.Acceptor) {
	for r.awaitVacancy() {
		switch refused, elsewhere := r.judgeRefusals(); {
		case elsewhere:
			r.client.settle()
			return
		case refused:
			continue // a ping will bring an answer, or the end
		}
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

// countRefusalLocked counts a further session that the relay has not accepted, if that is a
// refusal. Those that were on their way at the same time are one. The caller holds mu.
func (r *registration) countRefusalLocked(s *clientSession, refused bool) {
	switch {
	case !refused:
		r.refusals = 0
	case r.refusals == 0 || s.since.After(r.refused):
		r.refusals++
		r.refused = time.Now()
	}
}

// judgeRefusals reports whether there were so many refusals in a row that there has to be
// a reason, and whether it is that further sessions come to another relay, of several
// behind one address. Then bytes have come since on a session that stands. If none have,
// the relay may have restarted, and the client has yet to notice that its sessions are
// lost.
func (r *registration) judgeRefusals() (refused, elsewhere bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusals < maxRefusals {
		return false, false
	}
	for s := range r.sessions {
		elsewhere = elsewhere || s.confirmed && s.hasHeardSince(r.refused)
	}
	return true, elsewhere
}
