package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
)

const (
	// writeWait is how long the peer may take to read what is said on the control
	// connection.
	writeWait = 10 * time.Second
	// takesNothing is when a peer is given up that acknowledges nothing on the
	// control connection. Together with keep-alive it is so noticed within 35 s that
	// it has vanished.
	takesNothing = 30 * time.Second
	// maxChatter is how many bytes a relay client may send on its control connection
	// in chatterTime. The protocol has it send none.
	maxChatter  = 4 << 10
	chatterTime = time.Minute
)

// session is a control connection.
type session struct {
	relay   *Relay
	control conn.Conn
	owner   string
	queued  chan struct{} // holds one if there are ids to be written; never closed
	pending atomic.Int32  // users who wait for a claim
	running sync.WaitGroup
	ended   context.Context // done when the session has ended
	end     context.CancelCauseFunc

	mu  sync.Mutex // guards what follows
	ids []string   // to be written: at most Config.MaxPending
}

// Why a tunnel ends, besides net.ErrClosed and what its connection gives.
var (
	errControlEnded = errors.New("the relay client has ended the control connection")
	errChatter      = errors.New("the relay client sends on the control connection, where it has nothing to say")
)

func newSession(r *Relay, control conn.Conn, owner string) *session {
	s := &session{
		relay:   r,
		control: control,
		owner:   owner,
		queued:  make(chan struct{}, 1),
	}
	s.ended, s.end = context.WithCancelCause(context.Background())
	s.running.Go(func() { s.endAfter(s.announceIDs) })
	s.running.Go(func() { s.endAfter(s.readChatter) })
	return s
}

// endAfter ends the tunnel with what run gives, or panics with.
func (s *session) endAfter(run func() error) {
	err := net.ErrClosed
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			err = e
		}
		s.closeWithError(err)
	}()
	err = run()
}

// Ended returns a context that is done when the session has ended.
func (s *session) Ended() context.Context { return s.ended }

// closeWithError ends the session for the given reason, unless it has ended already.
func (s *session) closeWithError(reason error) {
	s.end(reason)
	_ = s.control.Close()
}

func (s *session) Open(ctx context.Context) (conn.Conn, error) {
	s.pending.Add(1)
	defer s.pending.Add(-1)
	return s.relay.open(ctx, s.owner, s.enqueue, s.ended.Done())
}

// ExpectedClaims is one for each user who waits.
func (s *session) ExpectedClaims() int { return int(s.pending.Load()) }

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
	s.ids = append(s.ids, id)
	select {
	case s.queued <- struct{}{}:
	default: // it is known already
	}
	return nil
}

// dequeue gives all ids that wait to be written, as lines.
func (s *session) dequeue() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []byte
	for _, id := range s.ids {
		lines = append(lines, id+"\n"...)
	}
	s.ids = nil // a tunnel at rest holds none
	return lines
}

// announceIDs writes the ids, as many at a time as there are, until the tunnel
// ends or has to.
func (s *session) announceIDs() error {
	for {
		select {
		case <-s.queued:
		case <-s.ended.Done():
			return nil
		}
		_ = s.control.SetWriteDeadline(time.Now().Add(writeWait)) // fails as the write does
		if _, err := s.control.Write(s.dequeue()); err != nil {
			return fmt.Errorf("telling the relay client of users: %w", err)
		}
	}
}

// readChatter waits for the end of the control connection, and says how it came.
func (s *session) readChatter() error {
	read, since := 0, time.Now()
	buf := make([]byte, 64) // there is next to nothing to read
	for {
		n, err := s.control.Read(buf)
		if time.Since(since) > chatterTime {
			read, since = 0, time.Now()
		}
		switch read += n; {
		case read > maxChatter:
			return errChatter
		case errors.Is(err, io.EOF):
			return errControlEnded
		case err != nil:
			return fmt.Errorf("control connection: %w", err)
		}
	}
}
