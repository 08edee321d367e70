package yamux

import (
	"errors"
	"fmt"
	"sync"

	"github.com/seed96252745/relay/internal/splice"
)

const (
	// readSize is what one read from the connection asks for at most.
	readSize = 64 << 10
	// bulk is how much payload must be on its way for it to go through a pipe.
	bulk = 32 << 10
	// maxStreamPipes is how many pipes one stream may keep filled when its
	// reader is late. What comes then is copied.
	maxStreamPipes = 2
)

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// receiver reads frames and brings them to their streams. It holds a buffer
// only while there is something in it. It never waits for a stream.
type receiver struct {
	session *Session
	socket  *socket // what the connection is, if it is one
	buf     *[readSize]byte

	// The frame that is being received.
	head    [headerSize]byte
	have    int // of head
	current header
	stream  *Stream // whose payload comes; nil if nobody's
	left    int64   // of the payload
	bulky   bool    // the last frame was a large one

	limits limits
}

func newReceiver(s *Session) *receiver {
	return &receiver{session: s, socket: socketOf(s.conn), limits: newLimits(s.config)}
}

// run reads until the connection or the peer fails, and says how.
func (r *receiver) run() error {
	for {
		err := r.step()
		if err == nil {
			continue
		}
		if errors.Is(err, ErrProtocol) {
			r.session.accuse(err)
		}
		return err
	}
}

// step receives what there is, after it has come.
func (r *receiver) step() error {
	if p := r.pipePayload(); p != nil {
		n := p.Len()
		r.stream.deliverPipe(p)
		return r.payloadCame(n)
	}
	n, err := r.read()
	if n == 0 {
		r.giveBack()
		return err
	}
	r.session.heard()
	return r.consume(r.buf[:n]) // if reading failed it will again
}

// read reads what there is. Behind a large frame another one is likely, whose
// payload is not to be read with the header, or it would have to be copied.
func (r *receiver) read() (n int, err error) {
	take := func() []byte {
		if r.buf == nil {
			r.buf = readBuffers.Get().(*[readSize]byte)
		}
		if r.bulky && r.left < bulk {
			return r.buf[:int(r.left)+headerSize-r.have]
		}
		return r.buf[:]
	}
	if r.socket != nil {
		return r.socket.read(take, r.giveBack)
	}
	return r.session.conn.Read(take())
}

func (r *receiver) giveBack() {
	if r.buf != nil {
		readBuffers.Put(r.buf)
		r.buf = nil
	}
}

// pipePayload gives payload that a stream can pass on to a socket without its
// coming to user space, or nil if it has to be read.
func (r *receiver) pipePayload() *splice.Pipe {
	if r.left < bulk || r.socket == nil || r.stream == nil || !r.stream.takesPipes() {
		return nil
	}
	p := r.socket.fill(r.left)
	if p != nil {
		r.session.heard()
	}
	return p
}

// consume takes b apart.
func (r *receiver) consume(b []byte) error {
	for len(b) > 0 {
		if r.left > 0 {
			n := int(min(r.left, int64(len(b))))
			if r.stream != nil {
				r.stream.deliver(b[:n])
			}
			b = b[n:]
			if err := r.payloadCame(n); err != nil {
				return err
			}
			continue
		}
		n := copy(r.head[r.have:], b)
		r.have += n
		b = b[n:]
		if r.have < headerSize {
			return nil
		}
		r.have = 0
		h, err := parseHeader(r.head[:])
		if err == nil {
			err = r.frame(h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) frame(h header) error {
	if h.kind != typePing && h.kind != typeGoAway {
		return r.streamFrame(h)
	}
	if err := r.limits.idle(); err != nil {
		return err
	}
	if h.kind == typePing {
		r.ping(h)
		return nil
	}
	switch {
	case h.length == goAwayNormal:
		r.session.refuse(ErrGoneAway)
	case !r.session.tooMany():
		return fmt.Errorf("the peer gave the session up, reason %d", h.length)
	}
	return nil
}

// ping answers (spec, "Ping"); what comes back for our own pings proves life by
// having come, and tells how far away the peer is.
func (r *receiver) ping(h header) {
	if h.flags&flagSYN == 0 {
		r.session.pingAnswered(h.length)
		return
	}
	r.session.out.control(header{typePing, flagACK, 0, h.length})
}

func (r *receiver) streamFrame(h header) error {
	moves := h.length > 0
	if h.flags&flagSYN != 0 {
		if err := r.open(h.stream); err != nil {
			return err
		}
		moves = true // or is refused
	}
	st := r.session.find(h.stream)
	if st != nil && !st.had && h.flags&flagRST == 0 {
		st.had, moves = true, true
		r.session.taken(st)
	}
	if h.kind == typeData {
		return r.dataFrame(h, st, moves)
	}
	if st == nil {
		return r.unknown(h)
	}
	if h.flags&flagRST == 0 { // where RST is set the length is an error code
		if err := st.grow(h.length); err != nil {
			return err
		}
	}
	return r.frameEnd(h, st, moves)
}

// dataFrame has the payload received that follows a header.
func (r *receiver) dataFrame(h header, st *Stream, moves bool) error {
	if st != nil {
		if err := st.expect(h.length); err != nil {
			return err
		}
	}
	r.current, r.stream, r.left = h, st, int64(h.length)
	r.bulky = r.left >= bulk && st != nil && st.takesPipes()
	if r.left > 0 {
		return nil
	}
	return r.dataEnd(moves)
}

// payloadCame counts n bytes of payload, and ends the frame with the last one.
func (r *receiver) payloadCame(n int) error {
	if r.left -= int64(n); r.left > 0 {
		return nil
	}
	return r.dataEnd(true)
}

func (r *receiver) dataEnd(moves bool) error {
	st := r.stream
	r.stream = nil
	if st == nil {
		return r.unknown(r.current)
	}
	return r.frameEnd(r.current, st, moves)
}

// frameEnd takes note of what a frame ends. One that does not even do that, and
// has not moved anything else forward, is counted.
func (r *receiver) frameEnd(h header, st *Stream, moves bool) error {
	if !st.ended(h.flags) && !moves {
		return r.limits.idle()
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
	if !s.config.Accept {
		return nil // and so unknown, which is reset
	}
	s.peerNextID = max(s.peerNextID, id+1)
	if len(s.streams) >= s.config.MaxStreams {
		s.config.Counters.Refused.Add(1)
	} else if s.err == nil && !s.goAway {
		st := newStream(s, id)
		select {
		case s.accepted <- st:
			st.had = true
			s.streams[id] = st
			return nil
		default: // too many wait to be accepted
		}
	}
	s.tail.add(initialWindow) // the peer need not wait for our answer
	return nil
}

// unknown answers a frame of a stream that has ended or never was, when all of
// it has come. A stream that was not taken is reset, and so is one that never was
// and has data. The end of others has been told, and an answer for each frame that
// was under way meanwhile would be a flood.
func (r *receiver) unknown(h header) error {
	var err error
	opens, was := h.flags&flagSYN != 0, r.session.was(h.stream)
	switch {
	case opens && !r.session.config.Accept:
		err = r.limits.stray()
	case !opens && (!was || !r.session.expected(h)):
		err = r.limits.idle()
	}
	if err != nil || h.flags&flagRST != 0 || !opens && (was || h.kind != typeData) {
		return err
	}
	return r.session.out.ordered(nil, header{typeWindowUpdate, flagRST, h.stream, 0})
}
