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
)

// Pace is how often a relay client says something on a connection that is to stand,
// which it learns when that is cut off for having been silent. The zero value is
// ready. Its methods may be called concurrently.
type Pace struct {
	mu      sync.Mutex // guards what follows
	learned time.Duration
	suspect time.Duration // silence with which the last connection ended, or 0
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

// Registered says how the next registration has gone. A relay that takes it at once was
// there all the while, and it was somebody else who has ended the connection; one that
// does not was shut down or lost.
func (p *Pace) Registered(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if learned := p.suspect / 2; err == nil && p.suspect >= shortestSilence/2 && p.suspect <= longestSilence+longestSilence/10 {
		p.learned = max(learned, shortestSilence)
	}
	p.suspect = 0
}
