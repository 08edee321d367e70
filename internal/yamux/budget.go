package yamux

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
)

// Budget bounds the bytes that streams hold until they are read. Several sessions may
// share one. Its methods may be called concurrently. A nil budget has no bound.
type Budget struct {
	limit int64
	whole *Budget // which this one is a part of, or nil
	used  atomic.Int64

	mu       sync.Mutex        // guards what follows
	sessions map[*Session]bool // and whether they have ended; nil before the first one
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit}
}

// Part returns a budget of limit bytes for some of those that share b. What it holds counts
// in b as well.
func (b *Budget) Part(limit int64) *Budget {
	part := NewBudget(limit)
	part.whole = b
	return part
}

// windowShare sets what one window may grow to: this fraction of the budget, so that a
// stream that is merely fast is not the one that is reset.
const windowShare = 8

// windowLimit returns the size that a window may grow to.
func (b *Budget) windowLimit() int {
	if b == nil {
		return maxWindow
	}
	return min(int(max(initialWindow, min(maxWindow, b.limit/windowShare))), b.whole.windowLimit())
}

// Used returns how many bytes are held now.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Limit returns how many bytes may be held.
func (b *Budget) Limit() int64 {
	if b == nil {
		return math.MaxInt64
	}
	return b.limit
}

// Sessions returns how many sessions share the budget that have not ended.
func (b *Budget) Sessions() (n int) {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ended := range b.sessions {
		if !ended {
			n++
		}
	}
	return n
}

// Charge counts bytes that are held elsewhere than in sessions, or no longer if n is negative.
// Sessions make room for them, and they for sessions: who calls Charge looks at Used.
func (b *Budget) Charge(n int) { b.add(n) }

func (b *Budget) add(n int) {
	for ; b != nil; b = b.whole {
		b.used.Add(int64(n))
	}
}

// exceeded returns the budget that holds more than allowed, b or what it is a part of, or
// nil.
func (b *Budget) exceeded() *Budget {
	for ; b != nil; b = b.whole {
		if b.used.Load() > b.limit {
			return b
		}
	}
	return nil
}

// underPressure reports whether windows should stop growing, and grown ones shrink: the
// peers may still send all that was promised to them.
func (b *Budget) underPressure() bool {
	return b != nil && (b.used.Load() > b.limit/2 || b.whole.underPressure())
}

// trackSession records a session of the budget, and whether it has ended. Nothing is
// added to an ended session any more, but it can be shed as long as its streams hold
// something.
func (b *Budget) trackSession(s *Session, ended bool) {
	for ; b != nil; b = b.whole {
		b.mu.Lock()
		if b.sessions == nil {
			b.sessions = make(map[*Session]bool)
		}
		b.sessions[s] = ended
		maps.DeleteFunc(b.sessions, func(s *Session, ended bool) bool { return ended && s.buffered.Used() == 0 })
		b.mu.Unlock()
	}
}

// shed has the session that holds most reset its largest stream, so that modest
// sessions do not pay for others. It reports whether it found one.
func (b *Budget) shed() bool {
	b.mu.Lock()
	var most *Session
	for s := range b.sessions {
		if most == nil || s.buffered.Used() > most.buffered.Used() {
			most = s
		}
	}
	b.mu.Unlock()
	return most != nil && most.shed()
}

// shed resets the stream that holds most. It reports whether it found one.
func (s *Session) shed() bool {
	s.mu.Lock()
	var most *Stream
	size := 0
	for _, streams := range []map[uint32]*Stream{s.streams, s.endedUnread} {
		for _, st := range streams {
			if n := st.unread(); n > size {
				most, size = st, n
			}
		}
	}
	s.mu.Unlock()
	return most != nil && most.shed()
}

// shed resets the stream. Its unread bytes are lost, so an end that the peer has sent
// must not be shown either. It reports whether there were any.
func (st *Stream) shed() bool {
	if !st.dropUnread() {
		return false // it was read meanwhile
	}
	st.sendReset()
	st.notifyWritable()
	st.notifyReadable()
	return true
}

// dropUnread drops the unread bytes, and reports whether there were any.
func (st *Stream) dropUnread() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.unreadLocked() == 0 {
		return false
	}
	st.err, st.finReceived = ErrOverBudget, false
	st.dropReceivedLocked()
	st.readable.Broadcast()
	st.writable.Broadcast()
	return true
}

// unread returns how many bytes wait to be read.
func (st *Stream) unread() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.unreadLocked()
}

// unreadLocked also counts what is on its way to a reader: it may be put back.
func (st *Stream) unreadLocked() int { return st.received.size + st.held }

// dropReceivedLocked drops what nobody will read.
func (st *Stream) dropReceivedLocked() {
	st.session.buffered.add(-st.received.size)
	st.session.config.Budget.add(-st.received.size)
	st.received.clear()
}
