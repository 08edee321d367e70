package endpoint

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/wire"
)

// probe is a connection to the relay client as for a user, on which it answers whether it
// could serve one. It is no user: it counts against no limit, has no number, and is in no
// event.
type probe struct {
	began  time.Time
	ctx    context.Context // done when it is to end
	cancel context.CancelFunc
	conn   atomic.Pointer[conn.Conn] // nil until it is opened
	late   bool                      // health.mu guards it
}

// run waits for the answer of a probe.
func (h *health) run(p *probe) {
	answer, err := wire.ProbeAnswer{}, error(nil)
	defer func() {
		if c := crash.Caught(recover()); c != nil {
			h.tunnel.endpoint.group.Crashed(c)
			err = c
		}
		if err != nil {
			h.report(h.unanswered(p, err))
			return
		}
		h.report(h.answered(p, answer))
	}()
	answer, err = p.ask(h.tunnel.Session)
}

// ask asks the relay client of a session. It waits until p.ctx is done.
func (p *probe) ask(s protocol.Session) (wire.ProbeAnswer, error) {
	c, err := p.openConn(s)
	if err != nil {
		return wire.ProbeAnswer{}, err
	}
	p.conn.Store(&c)
	stop := context.AfterFunc(p.ctx, func() { _ = c.Reset() })
	defer stop()
	_ = c.SetWriteDeadline(time.Now().Add(headerTimeout)) // fails as the write does
	if _, err := c.Write(proxyproto.ProbeHeader()); err != nil {
		_ = c.Reset()
		return wire.ProbeAnswer{}, err
	}
	answer, err := wire.ReadProbeAnswer(wire.NewReader(c))
	if err != nil {
		_ = c.Reset()
		return wire.ProbeAnswer{}, err
	}
	_ = c.Close()
	return answer, nil
}

// openConn opens the connection, in one piece with the header if that is possible.
func (p *probe) openConn(s protocol.Session) (conn.Conn, error) {
	if o, ok := s.(protocol.TryOpener); ok {
		if c := o.TryOpen(); c != nil {
			return c, nil
		}
	}
	return s.Open(p.ctx)
}

// isUnacknowledged reports whether the relay client's machine has acknowledged nothing of
// the probe for so long.
func (p *probe) isUnacknowledged(limit time.Duration) bool {
	c := p.conn.Load()
	return c != nil && tcpstate.Unacknowledged(*c) >= limit
}

// enter counts somebody in who uses the tunnel's session. It reports false if the tunnel
// is not bound any more.
func (t *Tunnel) enter() bool {
	t.endpoint.mu.Lock()
	defer t.endpoint.mu.Unlock()
	if t.endpoint.tunnel != t {
		return false
	}
	t.users.Add(1)
	return true
}

const (
	// maxProbing bounds the probes that are not late, of all tunnels: each is a goroutine.
	// If no relay client answers any more it is enough for 15,000 of them.
	maxProbing = 4096
	// probeSpread is the share of an interval within which all tunnels can be probed: one
	// of so many.
	probeSpread = 4
	// maxProbeGap is the most that lies between the probes of two tunnels.
	maxProbeGap = 5 * time.Millisecond
	// fullWait is the pause when there are maxProbing.
	fullWait = 100 * time.Millisecond
)

// pacer spreads the probes of all tunnels. Tunnels that register together, after a restart
// of the relay, are probed one after the other, and a fixed interval keeps them so. The
// zero value is ready.
type pacer struct {
	tunnels atomic.Int64 // that are probed
	probing atomic.Int64

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

// begin counts a probe, for which end has to follow. It reports false if there are too
// many.
func (p *pacer) begin() bool {
	if p.probing.Add(1) <= maxProbing {
		return true
	}
	p.end()
	return false
}

func (p *pacer) end() { p.probing.Add(-1) }
