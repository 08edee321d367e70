package pool

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// registration is a pool at the relay, and the places of it that are kept
// filled.
type registration struct {
	dial     protocol.Dialer
	port     int
	id       string
	accepted chan join.Conn // never closed

	ctx     context.Context // done when the registration has ended, with the reason
	cancel  context.CancelCauseFunc
	running sync.WaitGroup

	// refused counts the claims that were reset at once, since the last sign
	// that the relay knows the pool.
	refused atomic.Int32
	places  []*place
}

const (
	// A relay that was restarted does not know the pool and resets every
	// claim, where it says nothing to one that it accepts. A user who resets
	// right away looks the same; so it takes a few of them, and that no other
	// connection has stood for longer than such a reset takes.
	maxRefused  = 3
	refusedTime = 2 * time.Second

	// A connection that ended before a user came is replaced later and later,
	// or a local server that is down would be dialled in a tight loop.
	minPause = 10 * time.Millisecond
	maxPause = time.Second
)

var errForgotten = errors.New("the relay does not know the pool any more")

// place is one place in the pool. Its connection is replaced as soon as it has
// a user.
type place struct {
	*registration
	next  join.Conn // to be used before dialling
	pause time.Duration
	since atomic.Pointer[time.Time] // when the waiting connection was made; nil if there is none
}

func (p *place) keepFilled() {
	for p.ctx.Err() == nil {
		conn, err := p.fill()
		if err != nil {
			p.rest()
			continue
		}
		since := time.Now()
		p.since.Store(&since)
		w := newWaitingConn(conn)
		select {
		case p.accepted <- w:
		case <-p.ctx.Done():
		}
		select {
		case <-w.left:
			p.since.Store(nil)
			p.judge(w.firstErr, time.Since(since))
		case <-p.ctx.Done():
			w.withdraw()
		}
	}
}

// fill gives a connection that waits at the relay.
func (p *place) fill() (join.Conn, error) {
	if first := p.next; first != nil {
		p.next = nil
		return first, nil
	}
	return protocol.Send(p.ctx, p.dial, wire.Request{Verb: wire.Pool, ID: p.id})
}

// judge learns from how a connection's wait ended.
func (p *place) judge(err error, after time.Duration) {
	switch {
	case err == nil:
		p.pause = 0
		p.refused.Store(0)
		return
	case errors.Is(err, syscall.ECONNRESET) && after < refusedTime:
		if p.refused.Add(1) >= maxRefused && !p.standing() {
			p.cancel(errForgotten)
			return
		}
	case errors.Is(err, io.EOF) && after >= refusedTime:
		return // a user who said nothing
	}
	p.rest()
}

// standing tells whether any connection has waited for so long that the relay
// must know the pool.
func (r *registration) standing() bool {
	return slices.ContainsFunc(r.places, func(p *place) bool {
		since := p.since.Load()
		return since != nil && time.Since(*since) > refusedTime
	})
}

// rest waits a little, and longer each time that it is called without a user
// in between.
func (p *place) rest() {
	p.pause = min(max(2*p.pause, minPause), maxPause)
	timer := time.NewTimer(rand.N(p.pause) + p.pause/2) //nolint:gosec // spreads load, hides nothing
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ctx.Done():
	}
}
