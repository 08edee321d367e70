package yamux

import (
	"fmt"

	"github.com/seed96252745/relay/internal/crash"
)

// catchPanic calls f, and returns a panic of it as an error.
func catchPanic(f func() error) (err error) {
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			err = e
		}
	}()
	return f()
}

// runCallback calls a callback of a stream's user. A panic in it ends the session, and
// nothing else.
func (s *Session) runCallback(f func()) {
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			s.failWithPanic(e)
		}
	}()
	f()
}

// failWithPanic ends the session because of a panic. It leaves that to another
// goroutine: its caller may hold a lock that the end of the session needs. A panic in a
// session that has ended is added to its error, so that it is not lost.
func (s *Session) failWithPanic(e *crash.Error) {
	s.mu.Lock()
	switch {
	case s.err != nil:
		s.err = fmt.Errorf("%w; %w", s.err, e)
	case s.crash == nil:
		s.crash = e
	}
	s.mu.Unlock()
	s.out.failSession(e)
}
