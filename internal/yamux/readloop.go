package yamux

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/seed96252745/relay/internal/splice"
)

const (
	// readSize is the most that one read from the connection asks for.
	readSize = 64 << 10
	// bulk is how much payload a frame must have left to go through a pipe.
	bulk = 32 << 10
	// much is what comes in one read while data is on its way. Otherwise a session waits
	// without a buffer.
	much = 4 << 10
	// maxStreamPipes bounds the filled pipes that one stream keeps while its reader is
	// slow. Further payload is copied.
	maxStreamPipes = 2
)

var readBufferPool = sync.Pool{New: func() any { return new([readSize]byte) }}

// receiver reads frames and delivers them to their streams. It holds a buffer only
// while there is something in it. It never waits for a stream.
type receiver struct {
	session *Session
	socket  *socket // of the connection, if it is one
	waiter  waiter  // or the connection, if it can wait without a buffer
	buf     *[readSize]byte
	busy    bool // much has come at last

	// The frame that is being received.
	head        [headerSize]byte
	headLen     int // bytes of head that have come
	current     header
	stream      *Stream // the receiver of the payload; nil if there is none
	payloadLeft int64   // bytes still to come
	bulky       bool    // the last frame was a large one

	limits limits
}

// waiter is a Conn that can wait without a buffer until Read would not.
type waiter interface{ WaitReadable() }

func newReceiver(s *Session) *receiver {
	r := &receiver{session: s, socket: s.out.socket, limits: newLimits(&s.config)}
	r.waiter, _ = s.conn.(waiter)
	return r
}

// run reads until the connection or the peer fails, and returns the reason.
func (r *receiver) run() error {
	for {
		err := r.step()
		if errors.Is(err, os.ErrDeadlineExceeded) && r.socket != nil {
			served, err := r.socket.serve(r)
			if served {
				return err
			}
			continue
		}
		if err != nil {
			return r.explain(err)
		}
	}
}

// explain tells the peer, if it still reads, that it has violated the protocol, if it has.
func (r *receiver) explain(err error) error {
	if errors.Is(err, ErrProtocol) {
		r.session.sendProtocolError(err)
	}
	return err
}

// step waits for bytes and handles them.
func (r *receiver) step() error {
	if p := r.readPipe(); p != nil {
		return r.pipeReceived(p)
	}
	n, err := r.read()
	if n == 0 {
		r.releaseBuffer()
		return err
	}
	return r.bytesReceived(n) // a read error comes again
}

// bytesReceived handles the first n bytes of the buffer.
func (r *receiver) bytesReceived(n int) error {
	r.session.noteReceived()
	return r.parse(r.buf[:n])
}

// pipeReceived handles payload in a pipe.
func (r *receiver) pipeReceived(p *splice.Pipe) error {
	r.session.noteReceived()
	n := p.Len()
	r.stream.deliverPipe(p)
	return r.payloadReceived(n)
}

// read reads what has come.
func (r *receiver) read() (n int, err error) {
	if r.socket != nil {
		return r.socket.read(r.buffer, r.releaseBuffer)
	}
	if r.waiter != nil && !r.busy {
		r.releaseBuffer()
		r.waiter.WaitReadable()
	}
	n, err = r.session.conn.Read(r.buffer())
	r.busy = n >= much
	return n, err
}

// buffer returns what the next read fills. A large frame is likely to follow another one.
// Its payload must not be read together with its header, or it would have to be copied.
func (r *receiver) buffer() []byte {
	if r.buf == nil {
		r.buf = readBufferPool.Get().(*[readSize]byte)
	}
	if r.bulky && r.payloadLeft < bulk {
		return r.buf[:int(r.payloadLeft)+headerSize-r.headLen]
	}
	return r.buf[:]
}

func (r *receiver) releaseBuffer() {
	if r.buf != nil {
		readBufferPool.Put(r.buf)
		r.buf = nil
	}
}

// readPipe returns payload in a pipe. It returns nil if the payload has to be read.
func (r *receiver) readPipe() *splice.Pipe {
	if !r.wantsPipe() {
		return nil
	}
	return r.socket.fillPipe(r.payloadLeft)
}

// wantsPipe reports whether what comes next is payload for a stream that can pass it on to
// a socket without a copy in user space.
func (r *receiver) wantsPipe() bool {
	return r.payloadLeft >= bulk && r.socket != nil && r.stream != nil && r.stream.acceptsPipes()
}

// parse splits b into frames and handles them.
func (r *receiver) parse(b []byte) error {
	for len(b) > 0 {
		if r.payloadLeft > 0 {
			n := int(min(r.payloadLeft, int64(len(b))))
			if r.stream != nil {
				r.stream.deliver(b[:n])
			}
			b = b[n:]
			if err := r.payloadReceived(n); err != nil {
				return err
			}
			continue
		}
		n := copy(r.head[r.headLen:], b)
		r.headLen += n
		b = b[n:]
		if r.headLen < headerSize {
			return nil
		}
		r.headLen = 0
		h, err := parseHeader(r.head[:])
		if err == nil {
			err = r.handleFrame(h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) handleFrame(h header) error {
	if h.kind != typePing && h.kind != typeGoAway {
		return r.handleStreamFrame(h)
	}
	if err := r.limits.countIdle(); err != nil {
		return err
	}
	if h.kind == typePing {
		r.handlePing(h)
		return nil
	}
	switch {
	case h.length == goAwayNormal:
		r.session.refuse(r.session.config.GoneAway)
	case !r.session.resetRefusedStream():
		return fmt.Errorf("the peer ended the session: GO_AWAY, reason %d", h.length)
	}
	return nil
}

// handlePing answers a ping (spec, "Ping"). The answer to our own ping proves by its
// arrival that the peer is alive, and may measure the round trip.
func (r *receiver) handlePing(h header) {
	if h.flags&flagSYN == 0 {
		r.session.recordRTT(h.length)
		return
	}
	r.session.out.sendControl(header{typePing, flagACK, 0, h.length})
}

func (r *receiver) handleStreamFrame(h header) error {
	progress := h.length > 0
	if h.flags&flagSYN != 0 {
		if err := r.handleOpen(h.stream); err != nil {
			return err
		}
		progress = true // or is refused
	}
	st := r.session.findStream(h.stream)
	if st != nil && !st.acknowledged && h.flags&flagRST == 0 {
		st.acknowledged, progress = true, true
		r.session.noteAcknowledged(st)
	}
	if h.kind == typeData {
		return r.handleData(h, st, progress)
	}
	if st == nil {
		return r.handleUnknownStream(h)
	}
	if h.flags&flagRST == 0 { // in an RST the length is an error code
		if err := st.growSendWindow(h.length); err != nil {
			return err
		}
	}
	return r.endFrame(h, st, progress)
}

// handleData prepares to receive the payload behind a header.
func (r *receiver) handleData(h header, st *Stream, progress bool) error {
	if st != nil {
		if err := st.checkWindow(h.length); err != nil {
			return err
		}
	}
	r.current, r.stream, r.payloadLeft = h, st, int64(h.length)
	r.bulky = r.payloadLeft >= bulk && st != nil && st.acceptsPipes()
	if r.payloadLeft > 0 {
		return nil
	}
	return r.endData(progress)
}

// payloadReceived counts n bytes of payload, and ends the frame with the last one.
func (r *receiver) payloadReceived(n int) error {
	if r.payloadLeft -= int64(n); r.payloadLeft > 0 {
		return nil
	}
	return r.endData(true)
}

func (r *receiver) endData(progress bool) error {
	st := r.stream
	r.stream = nil
	if st == nil {
		return r.handleUnknownStream(r.current)
	}
	return r.endFrame(r.current, st, progress)
}

// endFrame handles the flags that end the stream. A frame that makes no progress, not
// even by them, is counted.
func (r *receiver) endFrame(h header, st *Stream, progress bool) error {
	if !st.handleEnd(h.flags) && !progress {
		return r.limits.countIdle()
	}
	return nil
}

// handleOpen adds a stream that the peer opens, or leaves it unknown, to be reset.
func (r *receiver) handleOpen(id uint32) error {
	s := r.session
	s.mu.Lock()
	defer s.mu.Unlock()
	_, exists := s.streams[id]
	if id%2 == s.parity || exists {
		return fmt.Errorf("%w: stream %d opened by the peer", ErrProtocol, id)
	}
	if !s.config.Accept {
		return nil // it stays unknown, and so is reset
	}
	s.peerNextID = max(s.peerNextID, id+1)
	if len(s.streams) >= s.config.MaxStreams {
		s.config.Counters.Refused.Add(1)
	} else if s.err == nil && !s.localGoAway {
		st := newStream(s, id)
		select {
		case s.accepted <- st:
			st.acknowledged = true
			s.streams[id] = st
			return nil
		default: // too many wait for Accept
		}
	}
	s.late.add(initialWindow) // the peer need not wait for our answer
	return nil
}

// handleUnknownStream handles a frame of a stream that has ended or never existed, when
// all of it has come. It resets a stream that was not accepted, and one that never
// existed and has data. The peer has been told of the end of all others, and an answer
// for each frame that was in flight then would be a flood.
func (r *receiver) handleUnknownStream(h header) error {
	var err error
	opens, was := h.flags&flagSYN != 0, r.session.wasOpened(h.stream)
	switch {
	case opens && !r.session.config.Accept:
		err = r.limits.countStray()
	case !opens && (!was || !r.session.allowLate(h)):
		err = r.limits.countIdle()
	}
	if err != nil || h.flags&flagRST != 0 || !opens && (was || h.kind != typeData) {
		return err
	}
	return r.session.out.sendOrdered(nil, header{typeWindowUpdate, flagRST, h.stream, 0})
}
