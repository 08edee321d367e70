package yamux

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// errFlood ends a session whose peer sends too much that leads nowhere. It is an
// ErrProtocol, and told so: the specification has no other word for it.
var errFlood = fmt.Errorf("%w: flood", ErrProtocol)

// limits are what a session puts up with. They are asked only about frames that
// move nothing forward, never about data.
type limits struct {
	control  *rate.Limiter
	strays   *rate.Limiter
	counters *Counters
}

func newLimits(c Config) limits {
	return limits{
		control:  rate.NewLimiter(rate.Limit(c.ControlRate), c.ControlBurst),
		strays:   rate.NewLimiter(rate.Limit(c.MaxStrays)/60, c.MaxStrays),
		counters: c.Counters,
	}
}

// idle counts a frame that moves nothing forward: it costs the same work as any
// other, and nothing else bounds how many come.
func (l *limits) idle() error {
	if !l.control.Allow() {
		return fmt.Errorf("%w of frames that move nothing forward", errFlood)
	}
	return nil
}

// stray counts a stream that the peer may not open.
func (l *limits) stray() error {
	l.counters.Strays.Add(1)
	if !l.strays.Allow() {
		return fmt.Errorf("%w of streams that the peer may not open", errFlood)
	}
	return nil
}

const (
	// tailTime is how long what was sent before its stream's end was known may
	// be on its way: as long as a stream that was closed here is waited for.
	tailTime = orphanWait
	// tailFrames is how many frames without payload that may be, for a stream:
	// its acknowledgement and its ends, and a window update for each 256 bytes
	// of a window, from a peer who sends one whenever it has read.
	tailFrames = initialWindow / 256
)

// tail is what may still come for streams that have ended: what their windows
// had room for, in bytes. Nobody is blamed for that. It is forgotten within two
// periods of tailTime. Session.mu guards it.
type tail struct {
	older, recent int64
	since         time.Time // when recent began
}

func (t *tail) add(n int64) {
	t.age()
	t.recent += n
}

// take takes n bytes off, if so many may come.
func (t *tail) take(n int64) bool {
	t.age()
	if n > t.older+t.recent {
		return false
	}
	old := min(n, t.older) // which is forgotten first
	t.older -= old
	t.recent -= n - old
	return true
}

func (t *tail) age() {
	now := time.Now()
	switch age := now.Sub(t.since); {
	case age < tailTime:
		return
	case age < 2*tailTime:
		t.older = t.recent
	default:
		t.older = 0
	}
	t.recent, t.since = 0, now
}

// was reports whether a stream has been opened, by the side that its id says.
func (s *Session) was(id uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id%2 == s.parity {
		return id < s.nextID
	}
	return id < s.peerNextID
}

// expected reports whether a frame for a stream that was open may have been sent
// before its sender knew of the end.
func (s *Session) expected(h header) bool {
	if h.length == 0 && h.flags&(flagACK|flagFIN|flagRST) == 0 {
		return false // it would have moved nothing forward before either
	}
	cost := int64(1)
	if h.kind == typeData {
		cost = max(1, int64(h.length))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail.take(cost)
}
