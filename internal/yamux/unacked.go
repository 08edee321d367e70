package yamux

import (
	"cmp"
	"slices"
	"time"
)

const (
	// maxUnacknowledged is the default of Config.MaxUnacknowledged.
	maxUnacknowledged = 256
	// endedAfter is how long a stream that was ended here may take to be
	// acknowledged before it counts apart: a peer that is about to accept it has
	// done so, and one that keeps streams in a queue has room for more.
	endedAfter = time.Second
	// endedShare is how many streams may count apart, for each that may be
	// unacknowledged otherwise: in all they are as many as most peers allow at a
	// time.
	endedShare = 4
)

// unacked is the streams opened here of which nothing has come from the peer yet,
// in the order in which they were opened. Each holds a place in one of the channels.
type unacked struct {
	places  chan struct{}
	ended   chan struct{} // for those that were ended here, and are not acknowledged for that: see setAside
	streams []*Stream     // guarded by Session.mu
}

func newUnacked(most int) unacked {
	return unacked{places: make(chan struct{}, most), ended: make(chan struct{}, endedShare*most)}
}

// addLocked adds a stream for which a place was taken.
func (u *unacked) addLocked(st *Stream) {
	st.place = u.places
	u.streams = append(u.streams, st)
}

// haveLocked gives back the places of st and of all streams opened before it: the
// peer accepts them in their order.
func (u *unacked) haveLocked(st *Stream) {
	if st.place == nil {
		return
	}
	n := u.findLocked(st) + 1
	for _, had := range u.streams[:n] {
		had.giveBackLocked()
	}
	u.streams = slices.Delete(u.streams, 0, n)
}

// removeLocked gives back the place of a stream that has ended, if it has one. That
// says nothing of others: peers reset what they have no room for.
func (u *unacked) removeLocked(st *Stream) {
	if st.place != nil {
		st.giveBackLocked()
		n := u.findLocked(st)
		u.streams = slices.Delete(u.streams, n, n+1)
	}
}

func (u *unacked) findLocked(st *Stream) (index int) {
	index, _ = slices.BinarySearchFunc(u.streams, st.id, func(st *Stream, id uint32) int { return cmp.Compare(st.id, id) })
	return index
}

func (st *Stream) giveBackLocked() {
	<-st.place
	st.place = nil
}

// taken notes that the peer has sent something on st, and so has it.
func (s *Session) taken(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unacked.haveLocked(st)
}

// endedHere notes that st has been ended here. If the peer does not acknowledge it in
// time it counts apart: some libraries never acknowledge a stream whose end came
// before it was accepted, and its user has nothing to say any more, but may wait for
// long.
func (s *Session) endedHere(st *Stream) {
	s.mu.Lock()
	waits := st.place != nil
	s.mu.Unlock()
	if waits {
		time.AfterFunc(endedAfter, func() { s.setAside(st) })
	}
}

// setAside has a stream count apart, as soon as there is room.
func (s *Session) setAside(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.place != s.unacked.places {
		return // it is acknowledged, or over
	}
	select {
	case s.unacked.ended <- struct{}{}:
		<-st.place
		st.place = s.unacked.ended
	default:
		time.AfterFunc(endedAfter, func() { s.setAside(st) })
	}
}
