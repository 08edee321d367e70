package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// registration is a pool at the relay, and the places of it that are kept
// filled.
type registration struct {
	client   Client
	dial     protocol.Dialer
	answer   wire.Answer
	id       string
	preamble []wire.Option // of claims

	ctx    context.Context // done when the registration has ended, with the reason
	cancel context.CancelCauseFunc

	// refused counts the claims that were reset at once, since the last sign
	// that the relay knows the pool.
	refused atomic.Int32
	// ends are those that were closed at once, with an end.
	ends run
	// failed counts the connections that could not be made, since the last one
	// that could.
	failed atomic.Int32
	// short are those for which this machine was short of something, while no other
	// connection waited.
	short  run
	places []*place
}

const (
	// maxRefused is how many claims in a row are reset before the relay is taken to
	// have forgotten the pool, if no other connection has stood for refusedTime. A
	// relay that was restarted resets every claim, and says nothing to one that it
	// accepts. A user who resets at once looks the same, so one reset is not enough.
	maxRefused  = 3
	refusedTime = 2 * time.Second
	// maxEnded is the same for claims that are ended at once. A TCP proxy between here
	// and the relay may make an end of a reset. A relay that is full also ends the
	// connections that it does not keep, at once, so it takes more of them, and for
	// longer.
	maxEnded = 10
	// maxFailed is how many connections in a row may fail before the relay is
	// taken for lost, if there is none left.
	maxFailed = 3
	// maxShort is for how long this machine may be short of something. It also seems to
	// be when it has no address any more of the family of the relay's, and that lasts:
	// the relay may be reached by another of its name's addresses.
	maxShort = 10 * time.Second

	// minPause is the first pause before a connection is replaced that ended before a
	// user came. The pauses grow to maxPause, or a local server that is down would be
	// dialled in a tight loop.
	minPause = 10 * time.Millisecond
	maxPause = time.Second
)

var errForgotten = errors.New("the relay does not know the pool any more")

// place is one place in the pool. Its connection is replaced as soon as it has
// a user.
type place struct {
	*registration
	next  conn.Conn // to be used before dialling
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
		p.short.end()
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
func (p *place) fill() (conn.Conn, error) {
	if first := p.next; first != nil {
		p.next = nil
		return first, nil
	}
	return protocol.Send(p.ctx, p.dial, wire.Request{Options: p.preamble, Verb: verb, ID: p.id})
}

// unreachable learns from a connection that could not be made. When that goes
// on, and no place has one, the relay is lost. While this machine is short of something
// to register anew would fail for the same reason.
func (p *place) unreachable(err error) {
	p.hasFailed(err)
	if sockerr.IsShortage(err) && p.bearsShortage() {
		p.rest()
		return
	}
	if p.failed.Add(1) >= maxFailed && !p.filled(0) {
		p.cancel(fmt.Errorf("connection to the relay lost: %w", err))
		return
	}
	p.rest()
}

// bearsShortage reports whether it is too soon to take the relay for lost for want of
// something on this machine.
func (r *registration) bearsShortage() bool {
	if r.filled(0) {
		r.short.end()
		return true
	}
	_, lasts := r.short.add()
	return lasts < maxShort
}

// hasFailed tells of a connection that has failed, unless that is because the
// registration has ended.
func (r *registration) hasFailed(err error) {
	if r.client.OnFailure != nil && r.ctx.Err() == nil {
		r.client.OnFailure(err)
	}
}

// judge learns from how a connection's wait ended.
func (p *place) judge(err error, after time.Duration) {
	if after >= refusedTime {
		p.known()
		p.pause = 0 // it did wait, and this is no failure in a row with others
	}
	switch {
	case err == nil:
		p.pause = 0
		p.known()
		return
	case sockerr.Is(err, syscall.ECONNRESET) && after < refusedTime:
		p.hasFailed(fmt.Errorf("%w (%w)", errForgotten, err))
		if p.refused.Add(1) >= maxRefused && !p.filled(refusedTime) {
			p.cancel(errForgotten)
			return
		}
	case errors.Is(err, io.EOF) && after >= refusedTime:
		return // a user who said nothing
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the latter with TLS
		if n, lasts := p.ends.add(); n >= maxEnded && lasts > refusedTime && !p.filled(refusedTime) {
			p.cancel(errForgotten)
			return
		}
	}
	p.rest()
}

// run is a number of things in a row, and when it began.
type run struct {
	mu    sync.Mutex // guards what follows
	n     int
	since time.Time
}

// add counts one more.
func (r *run) add() (n int, lasts time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		r.since = time.Now()
	}
	r.n++
	return r.n, time.Since(r.since)
}

func (r *run) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n = 0
}

// known is called when the relay has shown that it knows the pool.
func (r *registration) known() {
	r.refused.Store(0)
	r.ends.end()
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
