package yamux

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// readBuffer is what one read from the connection asks for at most.
const readBuffer = 64 << 10

// receiver reads frames and brings them to their streams.
type receiver struct {
	session *Session
	buf     []byte
	rest    []byte // read and not used yet; aliases buf

	strays      int // in the minute that began at
	straysSince time.Time
}

func newReceiver(s *Session) *receiver {
	return &receiver{session: s, buf: make([]byte, readBuffer)}
}

// run reads until the connection or the peer fails, and says how.
func (r *receiver) run() error {
	for {
		b, err := r.next(headerSize)
		if err != nil {
			return err
		}
		h, err := parseHeader(b)
		if err == nil {
			err = r.frame(h)
		}
		if err != nil {
			if errors.Is(err, ErrProtocol) {
				r.session.accuse()
			}
			return err
		}
	}
}

func (r *receiver) frame(h header) error {
	switch h.kind {
	case typePing:
		return r.ping(h)
	case typeGoAway:
		r.session.refuse()
		if h.length != goAwayNormal {
			return fmt.Errorf("the peer gave the session up, reason %d", h.length)
		}
		return nil
	}
	return r.streamFrame(h)
}

// ping answers; what comes back for our own pings proves life by having come.
func (r *receiver) ping(h header) error {
	if h.flags&flagSYN == 0 {
		return nil
	}
	r.session.out.control(header{typePing, flagACK, 0, h.length})
	return nil
}

func (r *receiver) streamFrame(h header) error {
	if h.flags&flagSYN != 0 {
		if err := r.open(h.stream); err != nil {
			return err
		}
	}
	st := r.session.find(h.stream)
	if st == nil {
		return r.unknown(h)
	}
	if h.flags&flagACK != 0 {
		st.acknowledged()
	}
	switch {
	case h.kind == typeData:
		if err := r.data(st, h.length); err != nil {
			return err
		}
	case h.flags&flagRST == 0: // where RST is set the length is an error code
		if err := st.grow(h.length); err != nil {
			return err
		}
	}
	switch {
	case h.flags&flagRST != 0:
		st.peerReset()
	case h.flags&flagFIN != 0:
		st.peerFinished()
	}
	return nil
}

// open takes a stream that the peer opens, or resets it.
func (r *receiver) open(id uint32) error {
	s := r.session
	s.mu.Lock()
	defer s.mu.Unlock()
	_, exists := s.streams[id]
	if id%2 == s.parity || exists {
		return fmt.Errorf("%w: stream %d opened by the peer", ErrProtocol, id)
	}
	if s.err != nil || !s.config.Accept || s.goAway || len(s.streams) >= s.config.MaxStreams {
		return nil // and so unknown, which is reset
	}
	st := newStream(s, id)
	select {
	case s.accepted <- st:
		s.streams[id] = st
	default: // too many wait to be accepted
	}
	return nil
}

// unknown answers a frame of a stream that has ended or never was. What is
// still on its way when a stream ends is no stray; a stream that was not taken
// is reset, and so is one whose data nobody reads.
func (r *receiver) unknown(h header) error {
	if h.kind == typeData {
		if err := r.discard(h.length); err != nil {
			return err
		}
	}
	if h.flags&flagRST != 0 || h.kind != typeData && h.flags&flagSYN == 0 {
		return nil
	}
	if h.flags&flagSYN != 0 && !r.session.config.Accept {
		if err := r.stray(); err != nil {
			return err
		}
	}
	return r.session.out.queue(header{typeWindowUpdate, flagRST, h.stream, 0})
}

// stray counts a frame that makes no sense.
func (r *receiver) stray() error {
	if time.Since(r.straysSince) > time.Minute {
		r.strays, r.straysSince = 0, time.Now()
	}
	if r.strays++; r.strays > maxStrays {
		return fmt.Errorf("%w: too many streams that the peer may not open", ErrProtocol)
	}
	return nil
}

// data brings n bytes of payload to a stream, piece by piece as they come, so
// that nothing is allocated for a length that is only declared.
func (r *receiver) data(st *Stream, n uint32) error {
	if err := st.expect(n); err != nil {
		return err
	}
	for n > 0 {
		b, err := r.some(n)
		if err != nil {
			return err
		}
		st.deliver(b)
		n -= uint32(len(b))
	}
	return nil
}

func (r *receiver) discard(n uint32) error {
	for n > 0 {
		b, err := r.some(n)
		if err != nil {
			return err
		}
		n -= uint32(len(b))
	}
	return nil
}

// next gives exactly the next n bytes, which are few.
func (r *receiver) next(n int) ([]byte, error) {
	for len(r.rest) < n {
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) && len(r.rest) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b, nil
}

// some gives at least one and at most n of the next bytes.
func (r *receiver) some(n uint32) ([]byte, error) {
	if len(r.rest) == 0 {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	b := r.rest[:min(len(r.rest), int(n))]
	r.rest = r.rest[len(b):]
	return b, nil
}

// fill reads more behind rest.
func (r *receiver) fill() error {
	kept := copy(r.buf, r.rest)
	n, err := r.session.conn.Read(r.buf[kept:])
	r.rest = r.buf[:kept+n]
	if n > 0 {
		r.session.received.Store(int64(time.Since(r.session.started)))
		return nil
	}
	return err
}
