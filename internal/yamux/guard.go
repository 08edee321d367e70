package yamux

import (
	"fmt"

	"github.com/seed96252745/relay/internal/crash"
)

// guarded calls f, and gives a panic of it as its error.
func guarded(f func() error) (err error) {
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			err = e
		}
	}()
	return f()
}

// call calls what users of streams want to have called. A panic of it ends the
// session, and nothing else.
func (s *Session) call(f func()) {
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			s.crashed(e)
		}
	}()
	f()
}

// crashed ends the session because of a panic. It leaves that to another
// goroutine: whoever called may hold a lock that others are about to be told under.
// A panic in a session that has ended is added to its error, so that it is not
// lost.
func (s *Session) crashed(e *crash.Error) {
	s.mu.Lock()
	switch {
	case s.err != nil:
		s.err = fmt.Errorf("%w; %w", s.err, e)
	case s.crash == nil:
		s.crash = e
	}
	s.mu.Unlock()
	s.out.fail(e)
}
