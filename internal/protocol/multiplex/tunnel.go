package multiplex

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// tunnel is several sessions of one relay client, over which its users are spread. It
// lives as long as it has one. All sessions are alike: none is the first.
type tunnel struct {
	relay   *Relay
	max     int             // sessions
	ended   context.Context // done when the tunnel takes no more users
	end     context.CancelCauseFunc
	budget  *Budget        // of all sessions together
	forget  func()         // removes the tunnel from the Relay, once
	release func()         // gives back the places of its sessions, once
	running sync.WaitGroup // counts sessions until they have ended

	mu       sync.Mutex    // guards what follows, and that no session is added after the end
	sessions []*session    // that have not ended
	kept     int           // 1 until the first session is added, whose place no claim gets
	added    chan struct{} // closed when a session is added, and made anew
}

var (
	_ protocol.TryOpener = (*tunnel)(nil)
	_ protocol.Drainer   = (*tunnel)(nil)
	_ protocol.Claimable = (*tunnel)(nil)
	_ protocol.Reacher   = (*tunnel)(nil)
	_ protocol.Timed     = (*tunnel)(nil)
	_ protocol.Absenter  = (*tunnel)(nil)
)

// newTunnel returns a tunnel without sessions. The caller sets forget and release.
func newTunnel(r *Relay, sessions int) *tunnel {
	t := &tunnel{relay: r, max: sessions, budget: r.Budget.Part(maxBuffered), kept: 1, added: make(chan struct{})}
	t.ended, t.end = context.WithCancelCause(context.Background())
	return t
}

// ExpectedClaims returns how many sessions are missing that claim their places.
func (t *tunnel) ExpectedClaims() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.max - len(t.sessions) - t.kept
}

// addFirst starts the session of the registration on conn, which it takes over. Claims may
// have come before, and ended again: its place is kept, and the tunnel lives until then.
func (t *tunnel) addFirst(conn conn.Conn) error {
	return endUnlessStarted(conn, func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.kept = 0
		return t.startSessionLocked(conn)
	}())
}

// addSession starts a session on conn, which it takes over.
func (t *tunnel) addSession(conn conn.Conn) error {
	return endUnlessStarted(conn, func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.startSessionLocked(conn)
	}())
}

// endUnlessStarted ends a connection on which no session could be started, because of err.
func endUnlessStarted(conn conn.Conn, err error) error {
	switch {
	case errors.Is(err, protocol.ErrFull):
		// An end, not a reset: the id is right, and the relay has yet to notice that the
		// session is lost which this one is to replace.
		_ = conn.Close()
	case err != nil:
		_ = conn.Reset()
	}
	return err
}

// startSessionLocked is addSession for a caller that closes conn if it fails.
func (t *tunnel) startSessionLocked(conn conn.Conn) error {
	switch {
	case t.ended.Err() != nil:
		return protocol.ErrTunnelEnded
	case len(t.sessions)+t.kept >= t.max:
		return protocol.ErrFull
	}
	s := t.relay.startSession(conn, t.budget)
	t.sessions = append(t.sessions, s)
	t.running.Add(1)
	context.AfterFunc(s.Ended(), func() { t.awaitEnd(s) })
	close(t.added)
	t.added = make(chan struct{})
	return nil
}

// awaitEnd removes a session that takes no more users, once it has ended. If the relay
// client has said that it leaves, it does so on all sessions, even when the end of this one
// follows at once.
func (t *tunnel) awaitEnd(s *session) {
	defer t.running.Done()
	if reason := context.Cause(s.Ended()); errors.Is(reason, protocol.ErrLeft) {
		t.endWith(reason)
	}
	<-s.yamux.Done()
	s.yamux.Close() // waits for its goroutines
	t.removeSession(s)
}

// removeSession removes a session that has ended, and ends the tunnel with the last one.
func (t *tunnel) removeSession(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions = slices.DeleteFunc(t.sessions, func(other *session) bool { return other == s })
	if len(t.sessions)+t.kept == 0 {
		t.forget()
		t.release()
		t.end(context.Cause(s.Ended()))
	}
}

// endWith has the tunnel take no more users, for the given reason.
func (t *tunnel) endWith(reason error) {
	t.forget()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(reason)
}

// all returns the sessions.
func (t *tunnel) all() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.sessions)
}

// Open opens a stream on the session that has the fewest, or waits for room there. A
// session that ends meanwhile is another one's turn.
func (t *tunnel) Open(ctx context.Context, user netip.AddrPort) (conn.Conn, error) {
	for t.ended.Err() == nil {
		next := t.choose((*session).isGone)
		if next.full {
			t.relay.countRefused()
			return nil, protocol.ErrNoStream
		}
		var ended <-chan struct{}
		if s := next.session; s != nil {
			conn, err := s.Open(ctx, user)
			if !errors.Is(err, protocol.ErrTunnelEnded) {
				return conn, err
			}
			ended = s.Ended().Done() // it is about to
		}
		select {
		case <-ended:
		case <-next.added:
		case <-t.ended.Done():
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, protocol.ErrTunnelEnded
}

// TryOpen opens a stream, or returns nil if that would have to wait or fails.
func (t *tunnel) TryOpen() conn.Conn {
	next := t.choose(func(*session) bool { return false }) // its own TryOpen asks
	if next.session == nil || next.full || t.ended.Err() != nil {
		return nil
	}
	return next.session.TryOpen()
}

// choice is where the next stream is opened.
type choice struct {
	session *session        // nil if none takes users
	full    bool            // the tunnel has as many streams as it may
	added   <-chan struct{} // closed when another session may take users
}

// What a session has against it, beside its streams, of which there are fewer. The worst
// outweighs all others.
const (
	unanswered = 1 << (32 + iota) // the relay client seems to be gone, but may be far
	full                          // the next stream would wait, or be refused
	avoided                       // it takes no stream any more
)

// answerTime is how long a relay client may take to answer a new stream before others are
// better: some round trips of any path. A session that has died without a word would draw all
// new users until the pings find out, because those who give up leave it with the fewest.
const answerTime = time.Second

// choose chooses the session with the fewest streams, of those with least against them.
// Users who come at the same moment may choose the same one, and the last stream of a
// tunnel: each session has the bound of all as well.
func (t *tunnel) choose(avoid func(*session) bool) choice {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := choice{added: t.added}
	lowest, total := int64(0), 0
	for _, s := range t.sessions {
		streams, isFull := s.yamux.Load()
		total += streams
		if s.Ended().Err() != nil {
			continue
		}
		load := int64(streams)
		if s.yamux.Unanswered() > answerTime {
			load += unanswered
		}
		if isFull {
			load += full
		}
		if avoid(s) {
			load += avoided
		}
		if next.session == nil || load < lowest {
			next.session, lowest = s, load
		}
	}
	next.full = total >= t.relay.maxStreams()
	return next
}

// Unreachable reports whether a session has waited for an acknowledgment for so long.
func (t *tunnel) Unreachable(limit time.Duration) bool {
	return slices.ContainsFunc(t.all(), func(s *session) bool { return s.Unreachable(limit) })
}

// Absent reports whether no session has answered its last stream in time.
func (t *tunnel) Absent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !slices.ContainsFunc(t.sessions, func(s *session) bool {
		return s.Ended().Err() == nil && s.yamux.Unanswered() <= answerTime
	})
}

// RoundTrip returns the shortest round trip of a session: the others wait behind bytes.
func (t *tunnel) RoundTrip() (shortest time.Duration) {
	for _, s := range t.all() {
		if took := s.RoundTrip(); took > 0 && (shortest == 0 || took < shortest) {
			shortest = took
		}
	}
	return shortest
}

// Ended returns a context that is done when no more streams can be opened.
func (t *tunnel) Ended() context.Context { return t.ended }

// StopAccepting opens no more streams, and takes no more sessions.
func (t *tunnel) StopAccepting() { t.endWith(protocol.ErrLeft) }

// Close resets the open streams, and ends the sessions.
func (t *tunnel) Close() error {
	t.endEach(net.ErrClosed, func(s *session) { _ = s.Close() })
	return nil
}

// Drain lets the FIN of each session's last stream through.
func (t *tunnel) Drain() { t.endEach(protocol.ErrLeft, (*session).Drain) }

// endEach ends all sessions at the same time, and waits for them.
func (t *tunnel) endEach(reason error, end func(*session)) {
	t.endWith(reason)
	var ending sync.WaitGroup
	for _, s := range t.all() {
		ending.Go(func() { end(s) })
	}
	ending.Wait()
	t.running.Wait()
}
