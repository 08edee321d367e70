package yamux

import (
	"maps"
	"net"
	"slices"
	"time"
)

const (
	// drainTimeout is how long the peer may take to read what was sent, and then to end
	// its side of the connection.
	drainTimeout = 30 * time.Second
	// abortTimeout bounds the time that it takes to tell the peer why the session ends.
	abortTimeout = time.Second / 2
)

// Drain ends the session after everything written has arrived: the peer ends the
// connection when it has read all. It is for sessions without streams. It takes up to
// 30 seconds, and Close cuts it short.
func (s *Session) Drain() { s.drain(drainTimeout) }

func (s *Session) drain(timeout time.Duration) {
	timer := time.AfterFunc(timeout, func() { s.closeWithError(ErrDead) })
	defer timer.Stop()
	s.awaitResets()
	s.out.shutdown()
	if catchPanic(s.conn.CloseWrite) == nil {
		<-s.readerDone
	}
	s.Close()
}

// awaitResets waits until the RST of each stream that is being reset is queued.
func (s *Session) awaitResets() {
	s.resetting.Lock()
	defer s.resetting.Unlock()
}

// Close ends the session and its streams at once, on both sides. It returns when the
// goroutines have ended.
func (s *Session) Close() {
	s.closeWithError(net.ErrClosed)
	s.running.Wait()
}

// Abort is Close for a side that ends a session with open streams: it resets them
// first. Most peers take the end of a session for the orderly end of each stream that
// was not reset. It takes half a second at most.
func (s *Session) Abort() {
	s.aborting.Do(func() {
		s.mu.Lock()
		s.closeReason = net.ErrClosed
		streams := slices.Collect(maps.Values(s.streams))
		s.mu.Unlock()
		err := sessionError(net.ErrClosed)
		s.refuse(err)
		for _, st := range streams {
			st.abort(err)
		}
		s.out.flush()
		s.drain(abortTimeout)
	})
}

// sendProtocolError tells the peer that it violated the protocol, if it still reads.
func (s *Session) sendProtocolError(reason error) {
	s.mu.Lock()
	s.closeReason = reason
	s.mu.Unlock()
	timer := time.AfterFunc(abortTimeout, func() { s.out.stop(reason) })
	defer timer.Stop()
	s.out.sendControl(header{typeGoAway, 0, 0, goAwayProtocol})
	s.out.drain()
}
