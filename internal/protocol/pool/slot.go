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

	// Set by Serve.
	accepted protocol.Acceptor
	loop     protocol.Loop  // or nil
	serving  sync.WaitGroup // slots
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

// slot is one slot of the pool. Its connection is replaced as soon as it has a user. What
// the slot does next is always up to one holder: a call of fill or refill, or the
// connection that waits.
type slot struct {
	*registration
	first   conn.Conn // to be used before dialing
	pause   time.Duration
	waiting atomic.Pointer[waitingConn] // or nil
}

// fill has a connection wait for a user. It waits for the relay, and for the Acceptor.
func (s *slot) fill() {
	for s.ctx.Err() == nil {
		if s.fillFrom(s.connect) {
			return
		}
	}
	s.empty()
}

// resume is fill after a dial that the loop has begun. Wait is called even if the
// registration has ended since: nothing else gives up what the dial has opened.
func (s *slot) resume(wait protocol.Dialer) {
	if !s.fillFrom(wait) {
		s.fill()
	}
}

// fillFrom is fill with a connection that dial returns. It reports false if there is none.
func (s *slot) fillFrom(dial protocol.Dialer) bool {
	conn, err := dial(s.ctx)
	if err != nil {
		s.handleDialError(err)
		return false
	}
	s.hold(conn).accept()
	return true
}

// fillLater is fill after a pause.
func (s *slot) fillLater() {
	s.backOff()
	s.fill()
}

// refill is fill with what takes no waiting, on the loop. The rest takes a goroutine.
func (s *slot) refill() {
	if s.ctx.Err() != nil {
		s.empty()
		return
	}
	sent := false
	defer func() {
		if !sent { // because of a panic, which the loop outlives
			go s.fillLater()
		}
	}()
	conn, wait := protocol.TrySend(s.loop, s.claim())
	sent = true
	if conn == nil {
		go s.resume(wait)
		return
	}
	if w := s.hold(conn); !w.tryAccept() {
		go w.accept()
	}
}

// hold notes that conn waits in the slot.
func (s *slot) hold(conn conn.Conn) *waitingConn {
	s.failed.Store(0)
	s.shortages.reset()
	w := newWaitingConn(s, conn)
	s.waiting.Store(w)
	if s.ctx.Err() != nil {
		w.withdraw() // the registration may have ended before it could be found in the slot
	}
	return w
}

// waited learns from how the wait has ended, and has the slot filled again. It does not
// wait itself.
func (s *slot) waited(w *waitingConn) {
	s.waiting.Store(nil)
	if s.ctx.Err() != nil {
		s.empty()
		return
	}
	putOff := true
	defer func() { s.fillNext(putOff) }() // after a panic in OnFailure, too
	putOff = s.learn(w.err, time.Since(w.since))
}

// fillNext has the slot filled again. It does not wait.
func (s *slot) fillNext(putOff bool) {
	switch {
	case putOff:
		go s.fillLater()
	case s.loop != nil:
		s.loop.Post(s.refill)
	default:
		go s.fill()
	}
}

// empty leaves the slot empty for good.
func (s *slot) empty() {
	if s.first != nil {
		_ = s.first.Reset() // closed before it was used
	}
	s.serving.Done()
}

// withdraw resets the connection that waits.
func (s *slot) withdraw() {
	if w := s.waiting.Load(); w != nil {
		w.withdraw()
	}
}

// connect returns a connection that waits at the relay.
func (s *slot) connect(ctx context.Context) (conn.Conn, error) {
	if first := s.first; first != nil {
		s.first = nil
		return first, nil
	}
	return protocol.Send(ctx, s.dial, s.claim())
}

// claim returns the request that a connection of the pool begins with.
func (r *registration) claim() wire.Request {
	return wire.Request{Options: r.preamble, Verb: verb, ID: r.id}
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

// learn learns from how a connection's wait has ended. It reports whether the next one has
// to be put off.
func (s *slot) learn(err error, after time.Duration) (putOff bool) {
	if after >= refusedTime {
		s.confirmKnown()
		s.pause = 0 // it has waited, so this failure is not one in a row
	}
	switch {
	case err == nil:
		s.pause = 0
		s.confirmKnown()
		return false
	case sockerr.Is(err, syscall.ECONNRESET) && after < refusedTime:
		s.reportFailure(fmt.Errorf("%w (%w)", errForgotten, err))
		if s.refused.Add(1) >= maxRefused && !s.isFilled(refusedTime) {
			s.cancel(errForgotten)
		}
	case errors.Is(err, io.EOF) && after >= refusedTime:
		return false // of a user who has sent nothing
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the latter with TLS
		if n, lasts := s.ends.add(); n >= maxEnded && lasts > refusedTime && !s.isFilled(refusedTime) {
			s.cancel(errForgotten)
		}
	}
	return true
}

// confirmKnown is called when the relay has shown that it knows the pool.
func (r *registration) confirmKnown() {
	r.refused.Store(0)
	r.ends.reset()
}

// isFilled reports whether any slot has a connection that has waited for longer than age.
func (r *registration) isFilled(age time.Duration) bool {
	return slices.ContainsFunc(r.slots, func(s *slot) bool {
		w := s.waiting.Load()
		return w != nil && time.Since(w.since) > age
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
