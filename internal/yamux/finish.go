package yamux

import (
	"maps"
	"net"
	"slices"
	"time"
)

const (
	// finishWait is how long the peer may take to read what was sent, and to
	// end its side of the connection then.
	finishWait = 30 * time.Second
	// lastWait is how long it may take to tell a peer why the session ends.
	lastWait = time.Second / 2
)

// Finish ends the session after what was written has arrived: the peer ends the
// connection when it has read all. It is for sessions without streams. It takes
// up to 30 seconds, and Close cuts it short.
func (s *Session) Finish() { s.finish(finishWait) }

func (s *Session) finish(within time.Duration) {
	timer := time.AfterFunc(within, func() { s.end(ErrDead) })
	defer timer.Stop()
	s.awaitResets()
	s.out.finish()
	if guarded(s.conn.CloseWrite) == nil {
		<-s.readerGone
	}
	s.Close()
}

// awaitResets waits until the RST is queued of each stream that is being reset.
func (s *Session) awaitResets() {
	s.resetting.Lock()
	defer s.resetting.Unlock()
}

// Close ends the session at once, and with it its streams, on both sides. It
// returns when the goroutines have ended.
func (s *Session) Close() {
	s.end(net.ErrClosed)
	s.running.Wait()
}

// Abort is Close for the side that ends a session under its streams: it resets them
// first. With most peers a stream that was not reset ends as the session does, and that
// is an end like any other. It takes half a second at most.
func (s *Session) Abort() {
	s.aborting.Do(func() {
		s.mu.Lock()
		s.reason = net.ErrClosed
		streams := slices.Collect(maps.Values(s.streams))
		s.mu.Unlock()
		err := sessionError(net.ErrClosed)
		s.refuse(err)
		for _, st := range streams {
			st.abort(err)
		}
		s.out.flush()
		s.finish(lastWait)
	})
}

// accuse tells the peer that it broke the rules, if it still reads.
func (s *Session) accuse(reason error) {
	s.mu.Lock()
	s.reason = reason
	s.mu.Unlock()
	timer := time.AfterFunc(lastWait, func() { s.out.end(reason) })
	defer timer.Stop()
	s.out.control(header{typeGoAway, 0, 0, goAwayProtocol})
	s.out.drain()
}
