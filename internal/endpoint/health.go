package endpoint

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Health is how a tunnel does, as far as probes have shown, and the relay client has said on
// its control channel. A connection that stands shows nothing: the process behind it may
// hang, and the local server may be gone.
type Health struct {
	State observe.State
	Since time.Time
	// Failure is why users cannot be served, in words of the relay's own, or "".
	Failure string
	// Probe is the last answer of the relay client, or nil.
	Probe *Probe
}

// Probe is what a relay client has answered to a probe.
type Probe struct {
	At   time.Time
	Took time.Duration // from the relay to the relay client and back
	// Dial is how long the local server took to accept, of Took; zero is that it is not known.
	Dial    time.Duration
	Failure string // as in Health
}

// Health returns how the tunnel does.
func (t *Tunnel) Health() Health {
	h := &t.health
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

const (
	// probeTimeout is how long an answer may take. With an interval of 15 s a tunnel that
	// has died is known as such within 20 s. It is enough for four round trips by satellite
	// and a local server that takes long.
	probeTimeout = 4 * time.Second
	// soonestProbe is the first pause after something has gone wrong; each further one is
	// twice as long, up to a third of the interval.
	soonestProbe = time.Second
	// maxOpenProbes is how many probes of a tunnel may be open. One that is late is left
	// open: its answer shows at once that the relay client is back, and a pool loses no
	// connection with each. A second one may find another way, over another session.
	maxOpenProbes = 2
)

// health probes one tunnel. A tunnel whose relay client answers no probes has one that
// does nothing.
type health struct {
	tunnel *Tunnel

	mu     sync.Mutex // guards what follows
	now    Health
	timer  *time.Timer // of the next tick; nil if there are no probes
	open   []*probe    // the oldest first
	pause  time.Duration
	failed int32 // probes in a row that have ended without an answer
	// hasTurn reports that the next tick begins the probe that waited for its turn.
	hasTurn bool
	ended   bool
	// down is that the relay client wants no users, since why, or it has not said yet what
	// it does.
	down bool

	// found is the state that probes have found, and failure what they have shown.
	found   observe.State
	failure string
	why     string // it is down
}

// startHealth begins to probe the tunnel, which is bound.
func (t *Tunnel) startHealth() {
	h, g := &t.health, t.endpoint.group
	if !t.Probe || g.probeInterval() <= 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended && h.timer == nil {
		g.pacer.tunnels.Add(1)
		h.timer = time.AfterFunc(0, h.tick)
	}
}

// endHealth ends all probes. Their goroutines are counted like users.
func (t *Tunnel) endHealth() {
	h := &t.health
	h.mu.Lock()
	if h.timer != nil && !h.ended {
		h.timer.Stop()
		t.endpoint.group.pacer.tunnels.Add(-1)
	}
	h.ended = true
	open := h.open
	h.open = nil
	h.mu.Unlock()
	for _, p := range open {
		p.abort()
	}
}

// tick is called when an answer is late, and when the next probe is due.
func (h *health) tick() {
	defer func() {
		if c := crash.Caught(recover()); c != nil {
			h.tunnel.endpoint.group.Crashed(c)
		}
	}()
	next, changed := h.step()
	if next != nil {
		next.start()
	}
	h.report(changed)
}

// step does what is due. It returns the probe to start, if there is one, and what to report.
func (h *health) step() (next *probe, changed observe.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = slices.DeleteFunc(h.open, (*probe).endIfLost)
	latest := h.latestLocked()
	switch {
	case h.ended, h.timer == nil:
		return nil, observe.Event{}
	case latest != nil && !latest.late:
		latest.late = true
		if h.now.State == observe.Unknown && len(h.open) < maxOpenProbes {
			// After a restart of the relay all relay clients have much to do: the next one
			// may be answered.
			h.timer.Reset(h.nextPauseLocked())
			return nil, observe.Event{}
		}
	case len(h.open) < maxOpenProbes:
		return h.beginLocked(), observe.Event{}
	}
	h.timer.Reset(h.nextPauseLocked())
	return nil, h.changeLocked(h.silenceLocked(), "")
}

// suspect has the tunnel be probed soon, and not at the next interval only: a user has been
// reset without a byte from its local server. One that does not accept resets all, has the
// fewest for that, and so would be given each next user of its group. It is probed as often
// as a tunnel of which that is known.
func (h *health) suspect() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || h.timer == nil || h.now.State != observe.Up || len(h.open) > 0 {
		return
	}
	soonest := min(soonestProbe, h.tunnel.endpoint.group.probeInterval())
	if last := h.now.Probe; last != nil {
		soonest -= time.Since(last.At)
	}
	if h.timer.Stop() { // or it is about to be probed
		h.timer.Reset(max(soonest, 0))
	}
}

// latestLocked returns the probe that was begun last and is open, or nil.
func (h *health) latestLocked() *probe {
	if len(h.open) == 0 {
		return nil
	}
	return h.open[len(h.open)-1]
}

// beginLocked returns a probe to start, or nil if it has to wait for its turn.
func (h *health) beginLocked() *probe {
	g := h.tunnel.endpoint.group
	if !h.hasTurn {
		h.hasTurn = true
		if wait := g.pacer.takeTurn(g.probeInterval()); wait > 0 {
			h.timer.Reset(wait)
			return nil
		}
	}
	h.hasTurn = false
	if !h.tunnel.enter() {
		return nil // it has ended
	}
	p := h.newProbe()
	h.open = append(h.open, p)
	h.timer.Reset(probeTimeout)
	return p
}

// nextPauseLocked returns the pause before the next probe after something has gone wrong.
func (h *health) nextPauseLocked() time.Duration {
	h.pause = min(max(2*h.pause, soonestProbe), max(h.tunnel.endpoint.group.probeInterval()/3, soonestProbe))
	return h.pause
}

// removeLocked removes a probe that has ended, and reports whether it is one that counts.
func (h *health) removeLocked(p *probe) bool {
	at := slices.Index(h.open, p)
	if at < 0 {
		return false
	}
	h.open = slices.Delete(h.open, at, at+1)
	return true
}

// answered notes an answer, and returns what to report.
func (h *health) answered(p *probe, a wire.ProbeAnswer) observe.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.removeLocked(p) {
		return observe.Event{}
	}
	// Those that are older have nothing to add.
	h.open = slices.DeleteFunc(h.open, func(o *probe) bool {
		older := o.began.Before(p.began)
		if older {
			o.abort()
		}
		return older
	})
	h.failed = 0
	h.now.Probe = &Probe{At: time.Now(), Took: time.Since(p.began), Dial: a.Took}
	state := observe.Up
	if a.Failure != "" {
		state, h.now.Probe.Failure = observe.LocalServerDown, a.Failure.String()
	} else {
		h.pause = 0
	}
	latest, interval := h.latestLocked(), h.tunnel.endpoint.group.probeInterval()
	switch {
	case latest != nil && !latest.late: // its tick is to come
	case state == observe.Up && !p.late:
		h.timer.Reset(max(interval-time.Since(p.began), 0))
	default: // a late answer may have been on its way for long
		h.timer.Reset(h.nextPauseLocked())
	}
	return h.changeLocked(state, h.now.Probe.Failure)
}

// unanswered notes that a probe has ended without an answer, and returns what to report.
// Once that may be an accident, such as a connection of the pool that a NAT has forgotten.
func (h *health) unanswered(p *probe, err error) observe.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.removeLocked(p) {
		return observe.Event{}
	}
	if latest := h.latestLocked(); latest == nil || latest.late {
		h.timer.Reset(h.nextPauseLocked())
	}
	if errors.Is(err, protocol.ErrTunnelEnded) || errors.Is(err, protocol.ErrNoStream) {
		return observe.Event{} // which says nothing
	}
	if h.failed++; h.failed < 2 {
		return observe.Event{}
	}
	return h.changeLocked(h.silenceLocked(), "")
}

// silenceLocked returns the state of a relay client that does not answer.
func (h *health) silenceLocked() observe.State {
	const limit = probeTimeout / 2
	if slices.ContainsFunc(h.open, func(p *probe) bool { return p.isUnacknowledged(limit) }) {
		return observe.Unreachable
	}
	if r, ok := h.tunnel.Session.(protocol.Reacher); ok && r.Unreachable(limit) {
		return observe.Unreachable
	}
	return observe.Silent
}
