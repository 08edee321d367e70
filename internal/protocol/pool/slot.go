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

// registration is a pool at the relay, and the slots that the relay client keeps filled.
type registration struct {
	client   Client
	dial     protocol.Dialer
	answer   wire.Answer
	id       string
	preamble []wire.Option // of claims

	ctx    context.Context // done when the registration has ended, with the reason
	cancel context.CancelCauseFunc

	// refused counts the claims that were reset at once, since the relay has last shown
	// that it knows the pool.
	refused atomic.Int32
	// ends are the claims that were closed at once, without a reset.
	ends streak
	// failed counts the dials that have failed in a row.
	failed atomic.Int32
	// shortages are the dials that have failed in a row because this machine was short
	// of something, while no other connection waited.
	shortages streak
	slots     []*slot
}

const (
	// maxRefused is how many claims have to be reset within refusedTime for the relay to
	// count as restarted. It does not know the pool then, and resets every claim, whereas
	// it sends nothing on one that it accepts. A user who resets right away looks the
	// same. So it takes a few of them, while no other connection has waited for longer
	// than such a reset takes.
	maxRefused  = 3
	refusedTime = 2 * time.Second
	// maxEnded is the same for claims that were closed, for longer than refusedTime: a
	// TCP proxy on the way may turn resets into ends. A relay that is full closes
	// connections too, as many as it does not keep, and at once. So it takes more of
	// them.
	maxEnded = 10
	// maxFailed is how many dials in a row have to fail for the relay to count as lost,
	// while no connection waits.
	maxFailed = 3
	// maxShortage is for how long this machine may be short of something. It also seems
	// to be when it has lost its address of the relay's address family. That lasts, and
	// the relay may be reachable at another address of its name.
	maxShortage = 10 * time.Second

	// minPause and maxPause bound the pause before a connection is replaced that has
	// ended without a user. It grows, or a local server that is down would be dialed in
	// a tight loop.
	minPause = 10 * time.Millisecond
	maxPause = time.Second
)

var errForgotten = errors.New("the relay does not know the pool any more")

// slot is one slot of the pool. Its connection is replaced as soon as it has a user.
type slot struct {
	*registration
	first conn.Conn // to be used before dialing
	pause time.Duration
	since atomic.Pointer[time.Time] // when the waiting connection was made, or nil
}

func (s *slot) keepFilled(accepted protocol.Acceptor) {
	defer func() {
		if s.first != nil {
			_ = s.first.Reset() // closed before it was used
		}
	}()
	for s.ctx.Err() == nil {
		conn, err := s.connect()
		if err != nil {
			s.handleDialError(err)
			continue
		}
		s.failed.Store(0)
		s.shortages.reset()
		since := time.Now()
		s.since.Store(&since)
		w := newWaitingConn(conn)
		accepted(s.ctx, w)
		select {
		case <-w.done:
			s.since.Store(nil)
			s.learn(w.err, time.Since(since))
		case <-s.ctx.Done():
			w.withdraw()
		}
	}
}

// connect returns a connection that waits at the relay.
func (s *slot) connect() (conn.Conn, error) {
	if first := s.first; first != nil {
		s.first = nil
		return first, nil
	}
	return protocol.Send(s.ctx, s.dial, wire.Request{Options: s.preamble, Verb: verb, ID: s.id})
}

// handleDialError learns from a connection that could not be made. If that goes on, and no
// slot is filled, the relay is lost. While this machine is short of something, to register
// anew would fail for the same reason.
func (s *slot) handleDialError(err error) {
	s.reportFailure(err)
	if sockerr.IsShortage(err) && s.toleratesShortage() {
		s.backOff()
		return
	}
	if s.failed.Add(1) >= maxFailed && !s.isFilled(0) {
		s.cancel(fmt.Errorf("connection to the relay lost: %w", err))
		return
	}
	s.backOff()
}

// toleratesShortage reports whether it is too soon for a shortage on this machine to count
// as the loss of the relay.
func (r *registration) toleratesShortage() bool {
	if r.isFilled(0) {
		r.shortages.reset()
		return true
	}
	_, lasts := r.shortages.add()
	return lasts < maxShortage
}

// reportFailure reports a failed connection, unless it failed because the registration has
// ended.
func (r *registration) reportFailure(err error) {
	if r.client.OnFailure != nil && r.ctx.Err() == nil {
		r.client.OnFailure(err)
	}
}

// learn learns from how a connection's wait has ended.
func (s *slot) learn(err error, after time.Duration) {
	if after >= refusedTime {
		s.confirmKnown()
		s.pause = 0 // it has waited, so this failure is not one in a row
	}
	switch {
	case err == nil:
		s.pause = 0
		s.confirmKnown()
		return
	case sockerr.Is(err, syscall.ECONNRESET) && after < refusedTime:
		s.reportFailure(fmt.Errorf("%w (%w)", errForgotten, err))
		if s.refused.Add(1) >= maxRefused && !s.isFilled(refusedTime) {
			s.cancel(errForgotten)
			return
		}
	case errors.Is(err, io.EOF) && after >= refusedTime:
		return // of a user who has sent nothing
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the latter with TLS
		if n, lasts := s.ends.add(); n >= maxEnded && lasts > refusedTime && !s.isFilled(refusedTime) {
			s.cancel(errForgotten)
			return
		}
	}
	s.backOff()
}

// streak counts events in a row, and knows when it began.
type streak struct {
	mu    sync.Mutex // guards what follows
	n     int
	since time.Time
}

// add counts an event, and returns how many there are, and since how long.
func (r *streak) add() (n int, lasts time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		r.since = time.Now()
	}
	r.n++
	return r.n, time.Since(r.since)
}

// reset ends the streak.
func (r *streak) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n = 0
}

// confirmKnown is called when the relay has shown that it knows the pool.
func (r *registration) confirmKnown() {
	r.refused.Store(0)
	r.ends.reset()
}

// isFilled reports whether any slot has a connection that has waited for longer than age.
func (r *registration) isFilled(age time.Duration) bool {
	return slices.ContainsFunc(r.slots, func(s *slot) bool {
		since := s.since.Load()
		return since != nil && time.Since(*since) > age
	})
}

// backOff pauses, and longer each time that it is called without a user in between.
func (s *slot) backOff() {
	s.pause = min(max(2*s.pause, minPause), maxPause)
	timer := time.NewTimer(rand.N(s.pause) + s.pause/2) //nolint:gosec // spreads load, hides nothing
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}
