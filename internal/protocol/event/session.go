package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
	"github.com/seed96252745/relay/internal/wire"
)

const (
	// writeTimeout is how long the peer may take to make room for what is written on the
	// control connection.
	writeTimeout = 10 * time.Second
	// userTimeout is after how long without an acknowledgment on the control connection
	// a relay client is dead. With keep-alive, its disappearance is noticed within 35 s.
	userTimeout = 30 * time.Second
	// maxInput bounds what a relay client may send within inputPeriod on its control
	// connection, where nothing but keepalives is expected.
	maxInput    = 4 << 10
	inputPeriod = time.Minute
)

// session is a control connection.
type session struct {
	relay   *Relay
	control conn.Conn
	owner   string
	pending atomic.Int32 // users who wait for a claim
	running sync.WaitGroup
	ended   context.Context // done when the session has ended
	end     context.CancelCauseFunc

	mu      sync.Mutex // guards what follows, and that no goroutine is started after the end
	ids     []string   // to write: at most Config.MaxPending
	rest    string     // of a line, to write before ids
	writing bool       // announceIDs runs
	came    time.Time  // when the last id came
}

// Why a session ends, besides net.ErrClosed and the errors of its connection.
var (
	errClosed = errors.New("the relay client has ended the control connection")
	errInput  = errors.New("the relay client sends too much on the control connection")
)

func newSession(r *Relay, control conn.Conn, owner string) *session {
	s := &session{relay: r, control: control, owner: owner}
	s.ended, s.end = context.WithCancelCause(context.Background())
	s.running.Go(func() { s.run(s.discardInput) })
	return s
}

// run runs a part of the session, and ends that with the error it returns, if it does, or
// panics with.
func (s *session) run(part func() error) {
	err := net.ErrClosed
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			err = e
		}
		if err != nil {
			s.closeWithError(err)
		}
	}()
	err = part()
}

// Ended returns a context that is done when the session has ended.
func (s *session) Ended() context.Context { return s.ended }

// closeWithError ends the session for the given reason, unless it has ended already.
func (s *session) closeWithError(reason error) {
	s.mu.Lock()
	s.end(reason)
	s.mu.Unlock()
	_ = s.control.Close()
}

// Open returns the connection that the relay client opens for the user.
func (s *session) Open(ctx context.Context, _ netip.AddrPort) (conn.Conn, error) {
	o, err := s.start(nil)
	if err != nil {
		return nil, err
	}
	return o.Wait(ctx)
}

// Start has the relay client open a connection for a user.
func (s *session) Start(opened func(conn.Conn)) (protocol.Opening, error) {
	o, err := s.start(opened)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// opening is a user who waits for a claim.
type opening struct {
	protocol.Handover
	session *session
	key     wire.Key
}

func (s *session) start(opened func(conn.Conn)) (*opening, error) {
	id := wire.NewID()
	o := &opening{session: s, key: wire.KeyOf(s.owner, id)}
	o.Init(opened)
	s.pending.Add(1)
	s.relay.addPending(o)
	if err := s.enqueue(id); err != nil {
		s.relay.removePending(o.key) // which nobody can have claimed
		s.pending.Add(-1)
		return nil, err
	}
	return o, nil
}

// Wait returns the connection as Open does.
func (o *opening) Wait(ctx context.Context) (c conn.Conn, err error) {
	select {
	case c = <-o.Next():
		return c, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-o.session.ended.Done():
		err = protocol.ErrTunnelEnded
	}
	if o.session.relay.removePending(o.key) == nil {
		// A claim was faster, and hands its connection over or has done so.
		return <-o.Next(), nil
	}
	o.session.pending.Add(-1)
	return nil, err
}

// ExpectedClaims returns the number of users who wait.
func (s *session) ExpectedClaims() int { return int(s.pending.Load()) }

// Unreachable reports whether the control connection has waited for an acknowledgment for
// so long.
func (s *session) Unreachable(limit time.Duration) bool {
	return tcpstate.Unacknowledged(s.control) >= limit
}

var _ protocol.Timed = (*session)(nil)

// RoundTrip returns the round trip of the control connection.
func (s *session) RoundTrip() time.Duration { return tcpstate.RoundTrip(s.control) }

// Close ends the session. Connections that users have are their own, and live on.
func (s *session) Close() error {
	s.closeWithError(net.ErrClosed)
	s.running.Wait()
	return nil
}

func (s *session) enqueue(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended.Err() != nil:
		return protocol.ErrTunnelEnded
	case len(s.ids) >= s.relay.config.MaxPending:
		return protocol.ErrFull
	}
	if s.writeNowLocked(id) {
		return nil
	}
	if !s.writing { // most sessions are idle, and a goroutine that waits is dear
		s.writing = true
		s.running.Go(func() { s.run(s.announceIDs) })
	}
	return nil
}

// gatherWithin is how soon after another id one is left to announceIDs, which writes all
// that have come by then: users who come in a crowd cost less so. An id that comes alone is
// written at once, and wakes no goroutine.
const gatherWithin = 250 * time.Microsecond

// writeNowLocked writes an id, or queues what cannot be written without waiting. It reports
// whether nothing is queued.
func (s *session) writeNowLocked(id string) bool {
	now := time.Now()
	crowd := now.Sub(s.came) < gatherWithin
	s.came = now
	if crowd || s.writing || len(s.ids) > 0 || s.rest != "" {
		s.ids = append(s.ids, id)
		return false
	}
	line := id + "\n"
	s.rest = line[conn.WriteNow(s.control, []byte(line)):]
	return s.rest == ""
}

// dequeue removes all ids from the queue, and returns them as lines. If there are none it
// returns nil, and others may write.
func (s *session) dequeue() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := []byte(s.rest)
	s.rest = ""
	for _, id := range s.ids {
		lines = append(lines, id+"\n"...)
	}
	s.ids = nil // an idle session holds none
	if len(lines) == 0 {
		s.writing = false
		return nil
	}
	return lines
}

// announceIDs writes the queued ids, all that there are at a time, until there are none or a
// write fails.
func (s *session) announceIDs() error {
	for lines := s.dequeue(); lines != nil; lines = s.dequeue() {
		_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails as the write does
		if _, err := s.control.Write(lines); err != nil {
			return fmt.Errorf("telling the relay client of users: %w", err)
		}
	}
	return nil
}

// discardInput waits for the end of the control connection, and returns the reason. It
// discards what comes before.
func (s *session) discardInput() error {
	read, since := 0, time.Now()
	buf := make([]byte, 64) // keepalives are a byte each
	for {
		n, err := s.control.Read(buf)
		if time.Since(since) > inputPeriod {
			read, since = 0, time.Now()
		}
		switch read += n; {
		case read > maxInput:
			return errInput
		case errors.Is(err, io.EOF):
			return errClosed
		case err != nil:
			return fmt.Errorf("control connection: %w", err)
		}
	}
}
