package yamux

import (
	"cmp"
	"slices"
	"time"
)

const (
	// maxUnacknowledged is the default of Config.MaxUnacknowledged.
	maxUnacknowledged = 256
	// endedAfter is how long a stream that was ended here may stay unacknowledged
	// before it counts separately: a peer that is about to accept it has done so by
	// then, and one that keeps streams in a queue has room for more.
	endedAfter = time.Second
	// endedShare is how many streams may count separately, for each that may be
	// unacknowledged otherwise: together they are as many as most peers allow at a
	// time.
	endedShare = 4
)

// unacked holds the streams opened here on which nothing has come from the peer yet, in
// the order in which they were opened. Each has a slot in one of the channels.
type unacked struct {
	slots   chan struct{}
	ended   chan struct{} // for unacknowledged streams that were ended here: see setAside; nil until there is one
	streams []*Stream     // guarded by Session.mu
}

func newUnacked(limit int) unacked {
	return unacked{slots: make(chan struct{}, limit)}
}

// addLocked adds a stream for which a slot was taken.
func (u *unacked) addLocked(st *Stream) {
	st.slot = u.slots
	u.streams = append(u.streams, st)
}

// acknowledgeLocked releases the slots of st and of all streams opened before it: the
// peer accepts them in order.
func (u *unacked) acknowledgeLocked(st *Stream) {
	if st.slot == nil {
		return
	}
	n := u.indexLocked(st) + 1
	for _, acked := range u.streams[:n] {
		acked.releaseSlotLocked()
	}
	u.streams = slices.Delete(u.streams, 0, n)
}

// removeLocked releases the slot of a stream that has ended, if it has one. That says
// nothing about others: peers reset streams for which they have no room.
func (u *unacked) removeLocked(st *Stream) {
	if st.slot != nil {
		st.releaseSlotLocked()
		n := u.indexLocked(st)
		u.streams = slices.Delete(u.streams, n, n+1)
	}
}

func (u *unacked) indexLocked(st *Stream) (index int) {
	index, _ = slices.BinarySearchFunc(u.streams, st.id, func(st *Stream, id uint32) int { return cmp.Compare(st.id, id) })
	return index
}

func (st *Stream) releaseSlotLocked() {
	<-st.slot
	st.slot = nil
}

// noteAcknowledged records that the peer has sent something on st, and so knows it.
func (s *Session) noteAcknowledged(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unacked.acknowledgeLocked(st)
}

// noteLocalEnd records that st has been ended here. If the peer does not acknowledge it
// in time it counts separately: some libraries never acknowledge a stream whose end
// came before it was accepted, and its user has nothing to send any more, but may wait
// for long.
func (s *Session) noteLocalEnd(st *Stream) {
	s.mu.Lock()
	waits := st.slot != nil
	s.mu.Unlock()
	if waits {
		time.AfterFunc(endedAfter, func() { s.setAside(st) })
	}
}

// setAside has a stream count separately, as soon as there is a slot.
func (s *Session) setAside(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.slot != s.unacked.slots {
		return // it is acknowledged, or has ended
	}
	if s.unacked.ended == nil {
		s.unacked.ended = make(chan struct{}, endedShare*cap(s.unacked.slots))
	}
	select {
	case s.unacked.ended <- struct{}{}:
		<-st.slot
		st.slot = s.unacked.ended
	default:
		time.AfterFunc(endedAfter, func() { s.setAside(st) })
	}
}
