package yamux

import (
	"context"
	"errors"
)

// Open opens a stream. While too many are not acknowledged by the peer it
// waits until ctx is done, and then returns its cause.
func (s *Session) Open(ctx context.Context) (*Stream, error) {
	select {
	case <-s.refusing.Done():
		return nil, s.refusal()
	default:
	}
	select {
	case s.unacked.places <- struct{}{}:
	default:
		s.config.Counters.Waited.Add(1)
		select {
		case s.unacked.places <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.refusing.Done():
			return nil, s.refusal()
		}
	}
	st, err := s.open(s.out.ordered)
	if errors.Is(err, ErrTooManyStreams) {
		s.config.Counters.Refused.Add(1)
	}
	return st, err
}

// OpenNow is Open for a caller who cannot wait. It gives nil if a stream cannot
// be opened at the moment, or at all. The peer is told with what is written first,
// in the same packet, or by Flush.
func (s *Session) OpenNow() *Stream {
	select {
	case <-s.refusing.Done():
		return nil
	default:
	}
	select {
	case s.unacked.places <- struct{}{}:
		st, _ := s.open(s.out.queue)
		return st
	default:
		return nil
	}
}

// open opens a stream that is counted as not acknowledged, and has send tell so.
func (s *Session) open(send func(*Stream, header) error) (*Stream, error) {
	st, err := s.add()
	if err != nil {
		<-s.unacked.places
		return nil, err
	}
	if err := send(st, header{typeWindowUpdate, flagSYN, st.id, 0}); err != nil {
		st.sessionEnded(err)
		return nil, err
	}
	return st, nil
}

func (s *Session) add() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.reason != nil: // it is about to end
		return nil, sessionError(s.reason)
	case len(s.streams) >= s.config.MaxStreams, s.room.takenBy(len(s.streams)):
		return nil, ErrTooManyStreams
	case s.nextID > 1<<31: // the ids are used up after two thousand million users
		return nil, ErrGoneAway
	}
	st := newStream(s, s.nextID)
	s.nextID += 2
	s.streams[st.id] = st
	s.unacked.addLocked(st)
	return st, nil
}

func (s *Session) refusal() error {
	if err := s.Err(); err != nil {
		return err
	}
	return ErrGoneAway
}

// Accept waits for a stream that the peer opens, and acknowledges it. Its
// error is the one that ended the session, or ctx's cause.
func (s *Session) Accept(ctx context.Context) (*Stream, error) {
	select {
	case st := <-s.accepted:
		st.acknowledge()
		return st, nil
	case <-s.done:
		return nil, s.Err()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
