package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// gate lets registrations through, but while another process is about to take over, when they
// wait, and when it has. The zero value is open. Its methods may be called concurrently.
type gate struct {
	mu     sync.Mutex // guards what follows
	inside int
	shut   chan struct{} // closed when it opens again, or is gone; nil while it is open
	empty  chan struct{} // closed when nobody is inside; nil unless somebody waits for that
	gone   bool          // registrations are another process's
}

// enter waits until a registration may go on, and reports whether it may. Then leave has to
// follow. Without it the registration is another process's, or the server is closed.
func (g *gate) enter(closed context.Context) bool {
	for {
		g.mu.Lock()
		shut := g.shut
		if shut == nil && !g.gone {
			g.inside++
			g.mu.Unlock()
			return true
		}
		gone := g.gone
		g.mu.Unlock()
		if gone {
			return false
		}
		select {
		case <-shut:
		case <-closed.Done():
			return false
		}
	}
}

// leave ends a registration.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// isOpen reports whether nothing has to wait.
func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut == nil && !g.gone
}

// isGone reports whether registrations are another process's.
func (g *gate) isGone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone
}

// wait waits while the gate is shut, and reports whether registrations are another process's
// then.
func (g *gate) wait(closed context.Context) (gone bool) {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-closed.Done():
		}
	}
	return g.isGone()
}

// close shuts the gate, and returns when nobody is inside, or ctx is done. It reports that by
// an error, and opens the gate again.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	g.shut = make(chan struct{})
	empty := make(chan struct{})
	if g.inside == 0 {
		close(empty)
	} else {
		g.empty = empty
	}
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		g.open(false)
		return ctx.Err()
	}
}

// open opens the gate, or has it be gone.
func (g *gate) open(gone bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone, g.empty = gone, nil
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// freezeWait is how long registrations that are under way may take. They take milliseconds: a
// lease is written to disk.
const freezeWait = 5 * time.Second

// Freeze has registrations wait, and relay clients that come, until Thaw or Succeed. It returns
// when those that are under way have ended.
func (s *Server) Freeze(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, freezeWait, errors.New("a registration that is under way does not end"))
	defer cancel()
	if s.gate.close(ctx) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Thaw ends Freeze.
func (s *Server) Thaw() { s.gate.open(false) }

// receive takes a connection to the control port over. While relay clients have to wait it
// returns a function that waits, and meanwhile the others stay in the kernel's queue, which
// another process may have by then.
func (s *Server) receive(c conn.Conn, start func(conn.Conn)) (wait func()) {
	if s.gate.isOpen() {
		start(c)
		return nil
	}
	return func() {
		if !s.gate.wait(s.endpoints.Closed()) {
			start(c)
			return
		}
		_ = s.giveControl(c, nil) // which has reset it then, and nothing of it was read
	}
}
