package yamux

import "time"

// roomFor is how long it is remembered how many streams the peer had room for. It may
// have more by then: it also counts streams that have ended and that its application
// still has in its hands.
const roomFor = time.Minute

// room is how many streams the peer has room for, if it has said so. Session.mu guards
// it.
type room struct {
	streams int
	until   time.Time
}

// takenBy reports whether there is no room beside so many streams.
func (r *room) takenBy(streams int) bool {
	return streams >= r.streams && r.streams > 0 && time.Now().Before(r.until)
}

// tooMany resets the stream for which the peer has no room, when it has named an error
// in a GO_AWAY, and reports whether that can have been the reason. The crate yamux says
// so of each stream beyond its limit, of which it takes no further note, and goes on
// with the others. A peer that means to end the session does that next.
//
// The GO_AWAY does not say which stream it means, so this is the one opened last. It is
// another one than the refused one if it was opened while the GO_AWAY was under way, or
// if the refused one was reset here meanwhile. Then a stream is reset that the peer has,
// and the refused one stands until it is ended here, and nothing comes for as long as a
// join allows after that.
func (s *Session) tooMany() bool {
	s.mu.Lock()
	opened := s.unacked.streams
	others := len(s.streams) - 1
	if len(opened) == 0 || others < 1 {
		s.mu.Unlock()
		return false
	}
	st := opened[len(opened)-1]
	s.room = room{others, time.Now().Add(roomFor)}
	s.mu.Unlock()
	st.fail(ErrReset)
	st.sendReset() // in case it has taken note
	st.tellArrived()
	return true
}
