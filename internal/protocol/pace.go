package protocol

import (
	"sync"
	"time"
)

const (
	// longestSilence is how long a relay client says nothing at most on a connection
	// that is to stand. TCP keep-alive does not count where a proxy or a load balancer
	// stands between: those see payload only, and many cut off what carries none for a
	// minute, some for less.
	longestSilence = 15 * time.Second
	// shortestSilence bounds what is learned. A proxy that cuts off after less cuts off
	// users at work, too.
	shortestSilence = 2 * time.Second
	// inARow is for how long a loss is remembered, so that restarts of a relay on
	// different days are no pair. A proxy cuts off one connection that rests after the
	// other.
	inARow = time.Hour
)

// Pace is how often a relay client says something on a connection that is to stand,
// which it learns when that is cut off for having been silent. The zero value is
// ready. Its methods may be called concurrently.
type Pace struct {
	mu      sync.Mutex // guards what follows
	learned time.Duration
	suspect time.Duration // silence with which the last connection ended, or 0
	before  time.Duration // suspect of the loss before; or 0
	at      time.Time     // of that loss
}

// Silence is how long to say nothing at most.
func (p *Pace) Silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.learned == 0 {
		return longestSilence
	}
	return p.learned
}

// Ended says that the peer, or somebody between, has ended a connection on which
// nothing had been said for so long.
func (p *Pace) Ended(silence time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.suspect = silence
}

// Registered says how the next registration has gone. Where the relay takes it at once,
// a proxy may have ended the connection before. So may a relay that is back already, one
// of several behind a balancer, or a change of network have done: Silence changes only
// after two losses in a row with about the same silence.
func (p *Pace) Registered(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	suspect := p.suspect
	p.suspect = 0
	switch {
	case err != nil:
		p.before = 0 // the relay was shut down or lost
	case suspect == 0: // nothing was lost
	case suspect < shortestSilence/2, suspect > longestSilence+longestSilence/10:
		p.before = 0
	case alike(suspect, p.before) && time.Since(p.at) < inARow:
		p.learned = max(min(suspect, p.before)/2, shortestSilence)
		p.before = 0
	default:
		p.before, p.at = suspect, time.Now()
	}
}

// alike reports whether two silences may be the patience of one proxy: the one is within
// a fifth of the other.
func alike(one, other time.Duration) bool { return (one - other).Abs() <= max(one, other)/5 }
