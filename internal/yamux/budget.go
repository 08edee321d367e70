package yamux

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Budget bounds the bytes that streams hold for readers who are late. Several
// sessions may share one. Its methods may be called concurrently; those of nil
// know no bound.
type Budget struct {
	limit int64
	used  atomic.Int64

	mu       sync.Mutex        // guards what follows
	sessions map[*Session]bool // and whether they have ended
}

// NewBudget gives a budget of so many bytes.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit, sessions: make(map[*Session]bool)}
}

// windowShare is the part of a budget that one window may grow to: one in so
// many, so that a stream that is only quick is not the one that is reset.
const windowShare = 8

// mostWindow is what a window may grow to.
func (b *Budget) mostWindow() int {
	if b == nil {
		return maxWindow
	}
	return int(max(initialWindow, min(maxWindow, b.limit/windowShare)))
}

// Used is how many bytes are held now.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

func (b *Budget) add(n int) {
	if b != nil {
		b.used.Add(int64(n))
	}
}

// spent tells whether more is held than there should be.
func (b *Budget) spent() bool { return b != nil && b.used.Load() > b.limit }

// short tells whether windows should not grow any more, and those that have
// should shrink: what is promised to peers may still arrive.
func (b *Budget) short() bool { return b != nil && b.used.Load() > b.limit/2 }

func (b *Budget) enter(s *Session) { b.note(s, false) }

// leave is for a session that has ended, to which nothing is added any more. As
// long as its streams hold something it can still be shed.
func (b *Budget) leave(s *Session) { b.note(s, true) }

func (b *Budget) note(s *Session, ended bool) {
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sessions[s] = ended
		maps.DeleteFunc(b.sessions, func(s *Session, ended bool) bool { return ended && s.buffered.Used() == 0 })
	}
}

// shed has the session that holds most reset its largest stream: who is modest
// does not pay for others. It tells whether there was one.
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

// shed resets the stream that holds most. It tells whether there was one.
func (s *Session) shed() bool {
	s.mu.Lock()
	var most *Stream
	size := 0
	for _, streams := range []map[uint32]*Stream{s.streams, s.unread} {
		for _, st := range streams {
			if n := st.unread(); n > size {
				most, size = st, n
			}
		}
	}
	s.mu.Unlock()
	return most != nil && most.shed()
}

// shed resets the stream. What was not read is gone, so not even an end that the
// peer has sent may be shown. It tells whether there was something.
func (st *Stream) shed() bool {
	if !st.drop() {
		return false // it was read meanwhile
	}
	st.sendReset()
	st.hasRoom()
	st.tellArrived()
	return true
}

// drop forgets what was not read, and tells whether there was something.
func (st *Stream) drop() bool {
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

// unread is how many bytes wait to be read.
func (st *Stream) unread() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.unreadLocked()
}

// unreadLocked counts what is on its way to a reader too: it may come back.
func (st *Stream) unreadLocked() int { return st.received.size + st.held }

// dropReceivedLocked forgets what nobody will read.
func (st *Stream) dropReceivedLocked() {
	st.session.buffered.add(-st.received.size)
	st.session.config.Budget.add(-st.received.size)
	st.received.clear()
}
