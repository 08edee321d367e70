package yamux

import (
	"sync/atomic"
	"time"
)

// peer is what is known of the other side. It is used concurrently.
type peer struct {
	started time.Time
	heard   atomic.Int64 // when the last bytes came, after started

	asked     atomic.Int64 // when the last measuring ping was sent, after started
	ping      atomic.Uint32
	roundTrip atomic.Int64 // nanoseconds; 0 is not known
}

// heard notes that bytes came.
func (s *Session) heard() { s.peer.heard.Store(int64(time.Since(s.peer.started))) }

// Silence is for how long nothing has come from the peer.
func (s *Session) Silence() time.Duration { return s.peer.silent() }

func (p *peer) silent() time.Duration { return time.Since(p.started) - time.Duration(p.heard.Load()) }

// How long a peer may be silent, 30 s in all, or less by Config.PingAfter. It is
// pinged only when nothing else came from it, and any byte proves that it lives: on a
// slow link the answer to a ping waits behind data. The wait for the answer is counted in
// steps, so that a process that was stopped for a while does not take its own
// silence for the peer's.
const (
	pingAfter = 15 * time.Second
	pingStep  = 5 * time.Second
	pingWait  = 15 * time.Second
)

// watch looks at the peer once in a while. A session at rest needs no goroutine
// for that.
type watch struct {
	timer *time.Timer
	// Of these only the timer's function knows.
	waited int    // steps
	heard  int64  // peer.heard when it was pinged
	taken  uint64 // bytes that the peer's kernel has acknowledged
}

// watchPeer begins to look. Session.running counts the watch until it is over.
func (s *Session) watchPeer() {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch.timer = time.AfterFunc(s.config.PingAfter, func() {
		next := time.Duration(0)
		if err := guarded(func() (err error) { next, err = s.look(); return err }); err != nil {
			s.end(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			s.running.Done()
			return
		}
		s.watch.timer.Reset(next)
	})
}

// stopWatchLocked ends the watch, unless it is just looking and sees by itself that
// the session has ended.
func (s *Session) stopWatchLocked() {
	if s.watch.timer.Stop() {
		s.running.Done()
	}
}

// look says when to look again, or why the session has to end.
func (s *Session) look() (next time.Duration, err error) {
	w := &s.watch
	s.noteTaken()
	silent, step := s.peer.silent(), min(pingStep, s.config.PingAfter)
	if w.heard != s.peer.heard.Load() {
		w.waited = 0
	}
	switch {
	case s.out.isFinished():
		return s.config.PingAfter, nil // it has nothing to say but its end, for which Finish waits
	case silent < s.config.PingAfter:
		w.waited = 0
		return s.config.PingAfter - silent, nil
	case time.Duration(w.waited)*step >= pingWait:
		return 0, ErrDead
	case w.waited == 0:
		w.heard = s.peer.heard.Load()
		s.out.control(header{typePing, flagSYN, 0, lifePing})
	}
	w.waited++
	return step, nil
}

// noteTaken takes it for a sign of life that bytes were acknowledged, while others
// still wait to be: over a way that loses much, a ping can be behind them for
// longer than a peer may be silent. When all has arrived the peer itself has to
// answer: the kernel of one that hangs acknowledges too, until it is full.
func (s *Session) noteTaken() {
	if s.out.socket == nil {
		return
	}
	taken, ago, more := s.out.socket.taken()
	if taken == s.watch.taken || !more {
		return
	}
	s.watch.taken = taken
	if at := int64(time.Since(s.peer.started) - ago); at > s.peer.heard.Load() {
		s.peer.heard.Store(at) // or what has come meanwhile, which is as good
	}
}

const (
	// lifePing is the value of pings that only want to be answered. Those that
	// measure have others.
	lifePing = 0
	// measureAfter is how often the round trip is measured, while windows could
	// grow. Pings cost nothing then: data flows anyway.
	measureAfter = 2 * time.Second
)

// measure pings the peer to learn the round trip, now and then.
func (s *Session) measure() {
	now := int64(time.Since(s.peer.started)) + 1 // 0 is never
	asked := s.peer.asked.Load()
	if asked != 0 && time.Duration(now-asked) < measureAfter || !s.peer.asked.CompareAndSwap(asked, now) {
		return
	}
	value := s.peer.ping.Add(1)
	if value == lifePing {
		value = s.peer.ping.Add(1)
	}
	s.out.control(header{typePing, flagSYN, 0, value})
}

// measureOnce is measure for a session that does not know the round trip at
// all, so that it is known when the first window has been used up.
func (s *Session) measureOnce() {
	if s.peer.asked.Load() == 0 {
		s.measure()
	}
}

// pingAnswered learns from the answer to the last measuring ping. It has waited
// behind data, as the data has, and that is what a window has to hold.
func (s *Session) pingAnswered(value uint32) {
	if value == lifePing || value != s.peer.ping.Load() {
		return
	}
	if took := int64(time.Since(s.peer.started)) - s.peer.asked.Load(); took > 0 {
		s.peer.roundTrip.Store(took)
	}
}
