package yamux

import (
	"sync/atomic"
	"time"
)

// peer is what a session knows of the other side. It is used concurrently.
type peer struct {
	started      time.Time
	lastReceived atomic.Int64 // when the last bytes came, since started
	askedAt      atomic.Int64 // when the first stream was opened after that, likewise; set under Session.mu

	pingSent  atomic.Int64 // when the last measuring ping was sent, since started
	pingValue atomic.Uint32
	roundTrip atomic.Int64 // nanoseconds; 0 means unknown
}

// noteReceived notes that bytes came.
func (s *Session) noteReceived() { s.peer.lastReceived.Store(int64(time.Since(s.peer.started))) }

// Silence returns for how long nothing has come from the peer.
func (s *Session) Silence() time.Duration {
	return time.Since(s.peer.started) - time.Duration(s.peer.lastReceived.Load())
}

// noteAskedLocked notes that a stream was opened, which a good peer answers.
func (s *Session) noteAskedLocked() {
	if p := &s.peer; p.askedAt.Load() <= p.lastReceived.Load() {
		p.askedAt.Store(int64(time.Since(p.started)))
	}
}

// Unanswered returns for how long nothing has come from the peer since a stream was opened,
// whether or not that has ended by now, or zero.
func (s *Session) Unanswered() time.Duration {
	asked := s.peer.askedAt.Load()
	if asked <= s.peer.lastReceived.Load() {
		return 0
	}
	return time.Since(s.peer.started) - time.Duration(asked)
}

// A peer may be silent for 30 s in all, or less by Config.PingAfter. It is pinged only
// when nothing else came from it, and any byte proves that it is alive: on a slow link
// the answer to a ping waits behind data. The wait for the answer is counted in steps,
// so that a process that was stopped for a while does not take its own silence for the
// peer's.
const (
	pingAfter = 15 * time.Second
	pingStep  = 5 * time.Second
	pingWait  = 15 * time.Second
)

// keepalive checks from time to time that the peer is alive. An idle session needs no
// goroutine for that.
type keepalive struct {
	timer *time.Timer
	// The timer's function alone uses these.
	waited         int    // steps
	receivedAtPing int64  // peer.lastReceived when the ping was sent
	acked          uint64 // bytes that the peer's kernel has acknowledged
}

// startKeepalive starts the checks. Session.running counts them until they are over.
func (s *Session) startKeepalive() {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepalive.timer = time.AfterFunc(s.config.PingAfter, func() {
		next := time.Duration(0)
		if err := catchPanic(func() (err error) { next, err = s.checkPeer(); return err }); err != nil {
			s.closeWithError(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			s.running.Done()
			return
		}
		s.keepalive.timer.Reset(next)
	})
}

// stopKeepaliveLocked stops the checks, unless one is running, which sees by itself
// that the session has ended.
func (s *Session) stopKeepaliveLocked() {
	if s.keepalive.timer.Stop() {
		s.running.Done()
	}
}

// checkPeer returns when to check again, or why the session has to end.
func (s *Session) checkPeer() (next time.Duration, err error) {
	k := &s.keepalive
	s.noteAckedBytes()
	silent, step := s.Silence(), min(pingStep, s.config.PingAfter)
	if k.receivedAtPing != s.peer.lastReceived.Load() {
		k.waited = 0
	}
	switch {
	case s.out.isShutDown():
		return s.config.PingAfter, nil // only the end is left to send, and Drain waits for that
	case silent < s.config.PingAfter:
		k.waited = 0
		return s.config.PingAfter - silent, nil
	case time.Duration(k.waited)*step >= pingWait:
		return 0, ErrDead
	case k.waited == 0:
		k.receivedAtPing = s.peer.lastReceived.Load()
		s.out.sendControl(header{typePing, flagSYN, 0, keepalivePing})
	}
	k.waited++
	return step, nil
}

// noteAckedBytes takes newly acknowledged bytes for a sign of life while others are
// still unacknowledged: on a lossy path a ping can wait behind them for longer than a
// peer may be silent. When all is acknowledged the peer itself has to answer: the
// kernel of a hung process acknowledges too, until its buffer is full.
func (s *Session) noteAckedBytes() {
	if s.out.socket == nil {
		return
	}
	acked, ago, more := s.out.socket.ackedBytes()
	if acked == s.keepalive.acked || !more {
		return
	}
	s.keepalive.acked = acked
	if at := int64(time.Since(s.peer.started) - ago); at > s.peer.lastReceived.Load() {
		s.peer.lastReceived.Store(at) // or what has come meanwhile, which is as good
	}
}
