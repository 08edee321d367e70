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

// deliver keeps a copy of b for whoever reads.
func (st *Stream) deliver(b []byte) {
	st.delivered(st.keep(len(b), func() { st.received.write(b) }))
}

// deliverPipe keeps what p holds, which it takes over.
func (st *Stream) deliverPipe(p *splice.Pipe) {
	d := st.keep(p.Len(), func() { st.received.writePipe(p) })
	if d.refused {
		p.GiveBack()
	}
	st.delivered(d)
}

// delivery is what is to be done about bytes that have come.
type delivery struct {
	refused  bool // nobody will read them
	first    bool // of the stream
	attached *attachment
}

// keep has put add n bytes to what was received, unless nobody will read them.
func (st *Stream) keep(n int, put func()) delivery {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.refusesLocked() {
		return delivery{refused: true}
	}
	put()
	st.recvWindow.left -= n
	st.session.buffered.add(n)
	st.session.config.Budget.add(n)
	st.readable.Broadcast()
	return delivery{first: st.recvWindow.begin(), attached: st.attached}
}

// refusesLocked tells whether nobody will read what comes: the stream is closed,
// or was reset while the rest of a frame was on its way.
func (st *Stream) refusesLocked() bool { return st.closed || st.err != nil }

// delivered tells of what has come. The peer is told that nobody reads a closed
// stream.
func (st *Stream) delivered(d delivery) {
	s := st.session
	if d.refused {
		st.sendReset()
		return
	}
	if d.first {
		s.measureOnce()
	}
	if d.attached != nil {
		s.call(d.attached.arrived)
	}
	switch {
	case s.buffered.spent():
		if s.shed() {
			s.config.Counters.ShedBySession.Add(1)
		}
	case s.config.Budget.spent():
		if s.config.Budget.shed() {
			s.config.Counters.ShedByBudget.Add(1)
		}
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

// ended takes note of the flags with which a frame ends the stream (spec,
// "Stream Closing"). It tells whether that is news.
func (st *Stream) ended(f flags) bool {
	switch {
	case f&flagRST != 0:
		st.fail(ErrReset)
		st.leave()
	case f&flagFIN != 0 && st.peerFinished():
	default:
		return false
	}
	st.tellArrived()
	return true
}

// peerFinished takes note of FIN, and tells whether it is the first. Behind a
// failure it is none: what came before it may have been dropped.
func (st *Stream) peerFinished() bool {
	st.mu.Lock()
	first := !st.finReceived
	if st.err == nil {
		st.finReceived = true
	}
	over := st.finQueued
	st.readable.Broadcast()
	st.mu.Unlock()
	if over {
		st.leave()
	}
	return first
}

// tail is how much may still come of the stream, in bytes, now that it has ended.
func (st *Stream) tail() int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.finReceived {
		return tailFrames
	}
	return tailFrames + int64(st.recvWindow.left)
}

// tellArrived tells what is attached that there is news.
func (st *Stream) tellArrived() {
	st.mu.Lock()
	attached := st.attached
	st.mu.Unlock()
	if attached != nil {
		st.session.call(attached.arrived)
	}
}
