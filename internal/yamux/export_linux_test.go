package yamux

import "github.com/seed96252745/relay/internal/eventloop"

// ServeOn is Stream.ServeOn, for a session that may have no stream.
func (s *Session) ServeOn(loop *eventloop.Loop) { (&Stream{session: s}).ServeOn(loop) }

// Served reports whether a loop serves the session.
func (s *Session) Served() bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.out.askTurn != nil
}

// Control calls f with the descriptor of the session's socket.
func (s *Session) Control(f func(fd uintptr)) error { return s.out.socket.control(f) }
