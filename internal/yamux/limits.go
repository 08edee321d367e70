package yamux

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// errFlood ends a session whose peer sends too much that makes no progress. It wraps
// ErrProtocol, and the peer is told that: the specification has no other code for it.
var errFlood = fmt.Errorf("%w: flood", ErrProtocol)

// limits bound what a session tolerates. They concern only frames that make no
// progress, never data. Only the receiver uses them.
type limits struct {
	config  *Config
	control *rate.Limiter // nil until there is something to count
	strays  *rate.Limiter // likewise
}

func newLimits(c *Config) limits { return limits{config: c} }

// countIdle counts a frame that makes no progress: it costs as much work as any other,
// and nothing else bounds how many come.
func (l *limits) countIdle() error {
	if l.control == nil {
		l.control = rate.NewLimiter(rate.Limit(l.config.ControlRate), l.config.ControlBurst)
	}
	if !l.control.Allow() {
		return fmt.Errorf("%w of frames that make no progress", errFlood)
	}
	return nil
}

// countStray counts a stream that the peer may not open.
func (l *limits) countStray() error {
	l.config.Counters.Strays.Add(1)
	if l.strays == nil {
		l.strays = rate.NewLimiter(rate.Limit(l.config.MaxStrays)/60, l.config.MaxStrays)
	}
	if !l.strays.Allow() {
		return fmt.Errorf("%w of streams that the peer may not open", errFlood)
	}
	return nil
}

const (
	// lateTime is how long frames may be in flight that the peer sent before it knew of
	// their stream's end: as long as a stream that was closed here is waited for.
	lateTime = closeTimeout
	// lateControlFrames is how many of them may carry no payload, for each stream: its
	// acknowledgement and its ends, and a window update for each 256 bytes of a window,
	// from a peer that sends one after each read.
	lateControlFrames = initialWindow / 256
)

// lateFrames is what may still come for ended streams: the bytes that their windows
// allowed. The peer does not break the rules by that. Entries expire within two periods
// of lateTime. Session.mu guards it.
type lateFrames struct {
	older, recent int64
	since         time.Time // when recent began
}

func (t *lateFrames) add(n int64) {
	t.expire()
	t.recent += n
}

// spend takes n bytes off, and reports whether so many were allowed.
func (t *lateFrames) spend(n int64) bool {
	t.expire()
	if n > t.older+t.recent {
		return false
	}
	old := min(n, t.older) // these expire first
	t.older -= old
	t.recent -= n - old
	return true
}

func (t *lateFrames) expire() {
	now := time.Now()
	switch age := now.Sub(t.since); {
	case age < lateTime:
		return
	case age < 2*lateTime:
		t.older = t.recent
	default:
		t.older = 0
	}
	t.recent, t.since = 0, now
}

// wasOpened reports whether a stream has been opened, by the side that its id belongs
// to.
func (s *Session) wasOpened(id uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id%2 == s.parity {
		return id < s.nextID
	}
	return id < s.peerNextID
}

// allowLate reports whether a frame for a stream that was open may have been sent
// before the peer knew of the end.
func (s *Session) allowLate(h header) bool {
	if h.length == 0 && h.flags&(flagACK|flagFIN|flagRST) == 0 {
		return false // it would not have made progress before either
	}
	cost := int64(1)
	if h.kind == typeData {
		cost = max(1, int64(h.length))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late.spend(cost)
}
