package yamux

import "time"

// peerLimitTTL is how long a peerLimit holds. The peer may have more room by then: it
// also counts streams that have ended and that its application has not closed yet.
const peerLimitTTL = time.Minute

// peerLimit is how many streams the peer has room for, if it has said so. Session.mu
// guards it.
type peerLimit struct {
	streams int
	until   time.Time
}

// reachedBy reports whether the peer has no room for one stream more.
func (r *peerLimit) reachedBy(streams int) bool {
	return streams >= r.streams && r.streams > 0 && time.Now().Before(r.until)
}

// resetRefusedStream resets the stream that the peer has no room for, when its GO_AWAY
// carries an error code, and reports whether that can have been the reason. The crate
// yamux sends this GO_AWAY for each stream beyond its limit, ignores the stream, and
// serves the others. A peer that means to end the session does that next.
//
// The GO_AWAY does not name the stream, so this resets the one that was opened last.
// That is the wrong one if it was opened while the GO_AWAY was in flight, or if the
// refused one was reset here meanwhile. Then a stream is reset that the peer does
// serve. The refused one stays until this side ends it and nothing has come for as long
// as a join allows after that.
func (s *Session) resetRefusedStream() bool {
	s.mu.Lock()
	opened := s.unacked.streams
	others := len(s.streams) - 1
	if len(opened) == 0 || others < 1 {
		s.mu.Unlock()
		return false
	}
	st := opened[len(opened)-1]
	s.peerLimit = peerLimit{others, time.Now().Add(peerLimitTTL)}
	s.mu.Unlock()
	st.fail(ErrReset)
	st.sendReset() // in case the peer has recorded it
	st.notifyReadable()
	return true
}
