package yamux

import (
	"context"
	"errors"
)

// Open opens a stream. While the peer has too many to acknowledge it waits until ctx is
// done, and then returns its cause.
func (s *Session) Open(ctx context.Context) (*Stream, error) {
	select {
	case <-s.refusing.Done():
		return nil, s.refusal()
	default:
	}
	select {
	case s.unacked.slots <- struct{}{}:
	default:
		s.config.Counters.Waited.Add(1)
		select {
		case s.unacked.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.refusing.Done():
			return nil, s.refusal()
		}
	}
	st, err := s.openStream(s.out.sendOrdered)
	if errors.Is(err, ErrTooManyStreams) {
		s.config.Counters.Refused.Add(1)
	}
	return st, err
}

// lastID bounds the ids of streams: they are used up after two billion users.
const lastID = 1 << 31

// Load returns how many streams are open, and whether the next one would have to wait or
// would be refused.
func (s *Session) Load() (streams int, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.streams)
	full = n >= s.config.MaxStreams || s.peerLimit.reachedBy(n) || len(s.unacked.slots) == cap(s.unacked.slots) || s.nextID > lastID
	return n, full
}

// TryOpen is Open for a caller that cannot wait. It returns nil if a stream cannot be
// opened at the moment, or at all. The peer hears of the stream with the first write,
// in the same packet, or by Flush.
func (s *Session) TryOpen() *Stream {
	select {
	case <-s.refusing.Done():
		return nil
	default:
	}
	select {
	case s.unacked.slots <- struct{}{}:
		st, _ := s.openStream(s.out.queueOrdered)
		return st
	default:
		return nil
	}
}

// openStream opens a stream for which the caller has taken a slot, and has send
// announce it.
func (s *Session) openStream(send func(*Stream, header) error) (*Stream, error) {
	st, err := s.addStream()
	if err != nil {
		<-s.unacked.slots
		return nil, err
	}
	if err := send(st, header{typeWindowUpdate, flagSYN, st.id, 0}); err != nil {
		st.endWithSession(err)
		return nil, err
	}
	return st, nil
}

func (s *Session) addStream() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.closeReason != nil: // it is about to end
		return nil, sessionError(s.closeReason)
	case len(s.streams) >= s.config.MaxStreams, s.peerLimit.reachedBy(len(s.streams)):
		return nil, ErrTooManyStreams
	case s.nextID > lastID:
		return nil, ErrGoneAway
	}
	st := newStream(s, s.nextID)
	s.nextID += 2
	s.streams[st.id] = st
	s.unacked.addLocked(st)
	s.noteAskedLocked()
	return st, nil
}

func (s *Session) refusal() error {
	if err := s.Err(); err != nil {
		return err
	}
	return ErrGoneAway
}

// Accept waits for a stream that the peer opens, acknowledges it and returns it. Its
// error is the one that ended the session, or ctx's cause.
func (s *Session) Accept(ctx context.Context) (*Stream, error) {
	select {
	case st := <-s.accepted:
		st.sendACK()
		return st, nil
	case <-s.done:
		return nil, s.Err()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
