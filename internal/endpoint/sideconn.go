package endpoint

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/quiet"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// sideConn is a connection to the relay client as for a user, which the relay makes for
// itself: a probe, or the control channel. It is no user: it counts against no limit of
// users, has no number, and is in no event. Until it has come it takes no goroutine where the
// session is a protocol.Starter.
type sideConn struct {
	tunnel *Tunnel
	began  time.Time
	// received and failed are those of a quiet.Owner. Failed is also called with why the
	// connection does not come.
	received func(b []byte)
	failed   func(err error)

	mu      sync.Mutex         // guards what follows
	ended   bool               // nothing more is done
	opening protocol.Opening   // by which conn is to come, or nil
	cancel  context.CancelFunc // of what waits for conn, or nil
	unsent  []byte             // what to write on it when it has come: a header first
	conn    conn.Conn          // or nil
	quiet   *quiet.Conn        // around conn, or nil
}

// run runs f on a goroutine, unless the connection has ended. The tunnel counts it as a user.
func (s *sideConn) run(f func()) {
	users := &s.tunnel.users
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	users.Add(1)
	go func() {
		defer users.Done()
		defer func() {
			if c := crash.Caught(recover()); c != nil {
				s.tunnel.endpoint.group.Crashed(c)
				s.failed(c)
			}
		}()
		f()
	}()
}

// start asks the session for the connection. It does not wait.
func (s *sideConn) start() {
	session := s.tunnel.Session
	if o, ok := session.(protocol.TryOpener); ok {
		if c := o.TryOpen(); c != nil {
			s.opened(c)
			return
		}
	}
	starter, ok := session.(protocol.Starter)
	if !ok {
		s.open(session)
		return
	}
	opening, err := starter.Start(s.opened)
	if err != nil {
		s.failed(err)
		return
	}
	s.mu.Lock()
	ended := s.ended
	s.opening = opening
	s.mu.Unlock()
	if ended {
		giveUp(opening)
	}
}

// open waits for the connection on a goroutine.
func (s *sideConn) open(session protocol.Session) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.cancel = cancel
	if s.ended {
		cancel()
	}
	s.mu.Unlock()
	s.run(func() {
		c, err := session.Open(ctx, netip.AddrPort{})
		if err != nil {
			s.failed(err)
			return
		}
		s.opened(c)
	})
}

// opened takes the connection over, which has come. It does not wait.
func (s *sideConn) opened(c conn.Conn) {
	s.mu.Lock()
	ended, unsent := s.ended, s.unsent
	if !ended {
		s.conn, s.unsent = c, nil
		s.quiet = quiet.New(c, quiet.Owner{Watch: s.tunnel.endpoint.group.joins.WhenReadable, Go: s.run, Received: s.received, Failed: s.failed})
	}
	s.mu.Unlock()
	if ended {
		_ = c.Reset()
		return
	}
	s.quiet.Start(unsent)
}

// write writes a few bytes, or has them written when the connection has come.
func (s *sideConn) write(b []byte) {
	s.mu.Lock()
	to := s.quiet
	if to == nil {
		s.unsent = append(s.unsent, b...)
	}
	s.mu.Unlock()
	if to != nil {
		to.Write(b)
	}
}

// close ends the connection, with a reset or without. It reports whether it is the first call
// that does: the caller has entered the tunnel, and leaves it then.
func (s *sideConn) close(reset bool) bool {
	s.mu.Lock()
	first := !s.ended
	s.ended = true
	has, opening, cancel := s.quiet, s.opening, s.cancel
	s.mu.Unlock()
	if !first {
		return false
	}
	if cancel != nil {
		cancel()
	}
	switch {
	case has == nil && opening != nil:
		giveUp(opening)
	case has == nil:
	case reset:
		has.Reset()
	default:
		has.Close()
	}
	return true
}

// giveUp takes a connection back that is yet to come.
func giveUp(o protocol.Opening) {
	if !o.Hold() {
		return // opened has it, or is about to
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if c, err := o.Wait(over); err == nil {
		_ = c.Reset() // it came at the last moment
	}
}

// isUnacknowledged reports whether the relay client's machine has acknowledged nothing of
// what was sent for so long.
func (s *sideConn) isUnacknowledged(limit time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil && !s.ended && tcpstate.Unacknowledged(s.conn) >= limit
}

// isUnconnected reports whether no connection has come for so long.
func (s *sideConn) isUnconnected(limit time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == nil && !s.ended && time.Since(s.began) >= limit
}
