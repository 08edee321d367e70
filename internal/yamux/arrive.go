package yamux

import (
	"fmt"
	"math"

	"github.com/seed96252745/relay/internal/splice"
)

// What is here is called by the session's reader when something arrives from
// the peer. It never waits.

// expect checks n bytes that are announced against the peer's window.
func (st *Stream) expect(n uint32) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if int64(n) > int64(st.recvWindow.left) {
		return fmt.Errorf("%w: %d bytes, where the window is %d", ErrProtocol, n, st.recvWindow.left)
	}
	if n > 0 && st.finReceived {
		return fmt.Errorf("%w: data after FIN", ErrProtocol)
	}
	return nil
}

// deliver keeps a copy of b for whoever reads. Nobody reads a closed stream, and
// its peer is told so.
func (st *Stream) deliver(b []byte) {
	st.mu.Lock()
	if st.refusesLocked() {
		st.mu.Unlock()
		st.sendReset()
		return
	}
	st.received.write(b)
	st.deliveredAndUnlock(len(b))
}

// deliverPipe keeps what p holds, which it takes over.
func (st *Stream) deliverPipe(p *splice.Pipe) {
	st.mu.Lock()
	if st.refusesLocked() {
		st.mu.Unlock()
		p.GiveBack()
		st.sendReset()
		return
	}
	n := p.Len()
	st.received.writePipe(p)
	st.deliveredAndUnlock(n)
}

// refusesLocked tells whether nobody will read what comes: the stream is closed,
// or was reset while the rest of a frame was on its way.
func (st *Stream) refusesLocked() bool { return st.closed || st.err != nil }

func (st *Stream) deliveredAndUnlock(n int) {
	s := st.session
	st.recvWindow.left -= n
	first := st.recvWindow.begin()
	s.buffered.add(n)
	s.config.Budget.add(n)
	st.readable.Broadcast()
	attached := st.attached
	st.mu.Unlock()
	if first {
		s.measureOnce()
	}
	if attached != nil {
		attached.arrived()
	}
	switch {
	case s.buffered.spent():
		s.shed()
	case s.config.Budget.spent():
		s.config.Budget.shed()
	}
}

// takesPipes tells whether bytes may be delivered in a pipe.
func (st *Stream) takesPipes() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.attached != nil && !st.refusesLocked() && st.received.pipes < maxStreamPipes
}

// grow adds to what we may send.
func (st *Stream) grow(n uint32) error {
	st.mu.Lock()
	if n > math.MaxInt32-st.sendWindow {
		st.mu.Unlock()
		return fmt.Errorf("%w: window grows beyond 2 GiB", ErrProtocol)
	}
	st.sendWindow += n
	if n > 0 {
		st.writable.Broadcast()
	}
	st.mu.Unlock()
	if n > 0 {
		st.hasRoom()
	}
	return nil
}

// acknowledge tells the peer that its stream has been accepted (spec, "Stream
// Opening").
func (st *Stream) acknowledge() {
	st.session.out.control(header{typeWindowUpdate, flagACK, st.id, 0})
}

// acknowledged gives the place back that the stream has in Session.unacked.
func (st *Stream) acknowledged() {
	st.mu.Lock()
	held := st.unacked
	st.unacked = false
	st.mu.Unlock()
	if held {
		<-st.session.unacked
	}
}

// ended takes note of the flags with which a frame ends the stream (spec,
// "Stream Closing").
func (st *Stream) ended(f flags) {
	switch {
	case f&flagRST != 0:
		st.fail(ErrReset)
		st.leave()
	case f&flagFIN != 0:
		st.peerFinished()
	default:
		return
	}
	st.tellArrived()
}

// peerFinished takes note of FIN. Behind a failure it is none: what came before it
// may have been dropped.
func (st *Stream) peerFinished() {
	st.mu.Lock()
	if st.err == nil {
		st.finReceived = true
	}
	over := st.finQueued
	st.readable.Broadcast()
	st.mu.Unlock()
	if over {
		st.leave()
	}
}

// tellArrived tells what is attached that there is news.
func (st *Stream) tellArrived() {
	st.mu.Lock()
	attached := st.attached
	st.mu.Unlock()
	if attached != nil {
		attached.arrived()
	}
}
