package yamux

import "time"

const (
	// keepalivePing is the value of pings that only ask for an answer. Pings that
	// measure have others.
	keepalivePing = 0
	// measureInterval is how often the round trip is measured, while windows could
	// grow. Pings cost nothing then: data flows anyway.
	measureInterval = 2 * time.Second
)

// measureRTT pings the peer to measure the round trip, at most once per
// measureInterval.
func (s *Session) measureRTT() {
	now := int64(time.Since(s.peer.started)) + 1 // 0 means never
	asked := s.peer.pingSent.Load()
	if asked != 0 && time.Duration(now-asked) < measureInterval || !s.peer.pingSent.CompareAndSwap(asked, now) {
		return
	}
	value := s.peer.pingValue.Add(1)
	if value == keepalivePing {
		value = s.peer.pingValue.Add(1)
	}
	s.out.sendControl(header{typePing, flagSYN, 0, value})
}

// measureRTTOnce measures the round trip if the session never has, so that it is known
// when the first window is used up.
func (s *Session) measureRTTOnce() {
	if s.peer.pingSent.Load() == 0 {
		s.measureRTT()
	}
}

// recordRTT records the round trip if value answers the last measuring ping. The ping
// has waited behind data, as data does, and that delay is what a window has to cover.
func (s *Session) recordRTT(value uint32) {
	if value == keepalivePing || value != s.peer.pingValue.Load() {
		return
	}
	if took := int64(time.Since(s.peer.started)) - s.peer.pingSent.Load(); took > 0 {
		s.peer.roundTrip.Store(took)
	}
}
