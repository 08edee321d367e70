package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
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
	dial protocol.Dialer
	port int
	id   string

	ctx    context.Context // done when the registration has ended, with the reason
	cancel context.CancelCauseFunc

	// refused counts the claims that were reset at once, since the last sign
	// that the relay knows the pool.
	refused atomic.Int32
	// failed counts the connections that could not be made, since the last one
	// that could.
	failed atomic.Int32
	places []*place
}

const (
	// A relay that was restarted does not know the pool and resets every
	// claim, where it says nothing to one that it accepts. A user who resets
	// right away looks the same; so it takes a few of them, and that no other
	// connection has stood for longer than such a reset takes.
	maxRefused  = 3
	refusedTime = 2 * time.Second
	// maxFailed is how many connections in a row may fail before the relay is
	// taken for lost, if there is none left.
	maxFailed = 3

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

func (p *place) keepFilled(accepted protocol.Acceptor) {
	defer func() {
		if p.next != nil {
			_ = p.next.Reset() // closed before it was used
		}
	}()
	for p.ctx.Err() == nil {
		conn, err := p.fill()
		if err != nil {
			p.unreachable(err)
			continue
		}
		p.failed.Store(0)
		since := time.Now()
		p.since.Store(&since)
		w := newWaitingConn(conn)
		accepted(p.ctx, w)
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

// unreachable learns from a connection that could not be made. When that goes
// on, and no place has one, the relay is lost.
func (p *place) unreachable(err error) {
	if p.failed.Add(1) >= maxFailed && !p.filled(0) {
		p.cancel(fmt.Errorf("connection to the relay lost: %w", err))
		return
	}
	p.rest()
}

// judge learns from how a connection's wait ended.
func (p *place) judge(err error, after time.Duration) {
	if after >= refusedTime {
		p.refused.Store(0) // the relay knew the pool
	}
	switch {
	case err == nil:
		p.pause = 0
		p.refused.Store(0)
		return
	case errors.Is(err, syscall.ECONNRESET) && after < refusedTime:
		if p.refused.Add(1) >= maxRefused && !p.filled(refusedTime) {
			p.cancel(errForgotten)
			return
		}
	case errors.Is(err, io.EOF) && after >= refusedTime:
		return // a user who said nothing
	}
	p.rest()
}

// filled tells whether any place has a connection that has waited for longer
// than the given time.
func (r *registration) filled(longer time.Duration) bool {
	return slices.ContainsFunc(r.places, func(p *place) bool {
		since := p.since.Load()
		return since != nil && time.Since(*since) > longer
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
