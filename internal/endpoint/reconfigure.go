package endpoint

import (
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// Reconfigure has users wait for another time from now on, and tunnels be probed at another
// interval, of which zero is never. A user who waits already waits for as long as when it
// came.
func (g *Group) Reconfigure(userWait, probe time.Duration) {
	g.userWait.Store(int64(userWait))
	if g.probe.Swap(int64(probe)) == int64(probe) {
		return
	}
	for _, t := range g.boundTunnels() {
		t.probeAnew()
	}
}

// Retire ends the tunnels for which why returns a reason. Their leases stay, for relay
// clients that register anew.
func (g *Group) Retire(why func(*Client) error) {
	for _, t := range g.boundTunnels() {
		reason := why(&t.Client)
		if reason == nil {
			continue
		}
		g.Go(func() {
			if t.kill != nil {
				t.kill(reason)
			}
			t.end(reason)
			_ = t.Session.Close()
		})
	}
}

func (g *Group) probeInterval() time.Duration { return time.Duration(g.probe.Load()) }

// boundTunnels returns the tunnels that are bound.
func (g *Group) boundTunnels() (all []*Tunnel) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, tunnels := range g.tunnels {
		for t := range tunnels {
			all = append(all, t)
		}
	}
	return all
}

// probeAnew has the tunnel be probed soon, and then at the interval that holds now. Without
// one it is not probed, and nothing is known about it.
func (t *Tunnel) probeAnew() {
	if t.endpoint.group.probeInterval() <= 0 {
		t.health.stop()
		return
	}
	t.startHealth()
	h := &t.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil && !h.ended && len(h.open) == 0 {
		h.timer.Reset(0)
	}
}

// stop ends probing, until startHealth.
func (h *health) stop() {
	h.mu.Lock()
	if h.timer == nil || h.ended {
		h.mu.Unlock()
		return
	}
	h.timer.Stop()
	h.timer, h.hasTurn, h.pause, h.failed = nil, false, 0, 0
	h.tunnel.endpoint.group.pacer.tunnels.Add(-1)
	open := h.open
	h.open, h.now.Probe = nil, nil
	_ = h.changeLocked(observe.Unknown, "") // but for what the relay client has said; and it is no news
	h.mu.Unlock()
	for _, p := range open {
		p.abort()
	}
}
