package endpoint

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// probeSpread is the share of an interval within which all tunnels can be probed: one
	// of so many.
	probeSpread = 4
	// maxProbeGap is the most that lies between the probes of two tunnels.
	maxProbeGap = 5 * time.Millisecond
)

// pacer spreads the probes of all tunnels. Tunnels that register together, after a restart
// of the relay, are probed one after the other, and a fixed interval keeps them so. The
// zero value is ready.
type pacer struct {
	tunnels atomic.Int64 // that are probed

	mu   sync.Mutex // guards what follows
	next time.Time  // when the next probe may begin that has no turn yet
}

// takeTurn returns how long to wait before the next probe may begin, and keeps that moment
// for the caller.
func (p *pacer) takeTurn(interval time.Duration) (wait time.Duration) {
	gap := min(interval/time.Duration(probeSpread*max(p.tunnels.Load(), 1)), maxProbeGap)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.next
	if at.Before(now) {
		at = now
	}
	p.next = at.Add(gap)
	return at.Sub(now)
}
