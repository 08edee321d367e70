package protocol

import (
	"sync"
	"time"
)

const (
	// maxInterval bounds the silence of a relay client on a connection that is to last.
	// TCP keep-alive does not count behind a proxy or a load balancer. Those see payload
	// only, and many close a connection that carries none for a minute, some for less.
	maxInterval = 15 * time.Second
	// minInterval bounds what is learned. A proxy with a shorter idle timeout cuts off
	// users at work, too.
	minInterval = 2 * time.Second
	// lossMemory is for how long a loss is remembered, so that restarts of a relay on
	// different days are no pair. A proxy closes one idle connection after the other.
	lossMemory = time.Hour
)

// Keepalive learns how often a relay client has to send something on a connection that
// is to last: it shortens the interval when connections are closed for having been idle.
// The zero value is ready. Its methods may be called concurrently.
type Keepalive struct {
	mu       sync.Mutex // guards what follows
	learned  time.Duration
	idle     time.Duration // how long the lost connection had been idle, or 0
	lastIdle time.Duration // the same of the loss before, or 0
	lastLoss time.Time     // when that was
}

// Interval returns how long to send nothing at most.
func (k *Keepalive) Interval() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.learned == 0 {
		return maxInterval
	}
	return k.learned
}

// Lost records that the peer, or a proxy, has closed a connection that had been idle for
// so long.
func (k *Keepalive) Lost(idle time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.idle = idle
}

// Registered records the outcome of the next registration. If the relay accepts it at
// once, a proxy may have closed the connection before. So may a relay that is back
// already, a relay of several behind a balancer, or a change of network. Interval
// therefore changes only after two losses in a row with about the same idle time.
func (k *Keepalive) Registered(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	idle := k.idle
	k.idle = 0
	switch {
	case err != nil:
		k.lastIdle = 0 // the relay was shut down or lost
	case idle == 0: // nothing was lost
	case idle < minInterval/2, idle > maxInterval+maxInterval/10:
		k.lastIdle = 0
	case areAlike(idle, k.lastIdle) && time.Since(k.lastLoss) < lossMemory:
		k.learned = max(min(idle, k.lastIdle)/2, minInterval)
		k.lastIdle = 0
	default:
		k.lastIdle, k.lastLoss = idle, time.Now()
	}
}

// areAlike reports whether two idle times may come from the timeout of one proxy: one is
// within a fifth of the other.
func areAlike(one, other time.Duration) bool { return (one - other).Abs() <= max(one, other)/5 }
