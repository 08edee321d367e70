package yamux

import (
	"fmt"
	"math"

	"github.com/seed96252745/relay/internal/splice"
)

// The session's reader, or an event loop in its place, calls the methods in this file when
// something arrives from the peer. They never wait.

// checkWindow checks an announcement of n bytes against the peer's window.
func (st *Stream) checkWindow(n uint32) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if int64(n) > int64(st.recvWindow.left) {
		return fmt.Errorf("%w: %d bytes exceed the window of %d", ErrProtocol, n, st.recvWindow.left)
	}
	if n > 0 && st.finReceived {
		return fmt.Errorf("%w: data after FIN", ErrProtocol)
	}
	return nil
}

// deliver keeps a copy of b until it is read.
func (st *Stream) deliver(b []byte) {
	st.afterDelivery(st.store(len(b), func() { st.received.write(b) }))
}

// deliverPipe keeps the content of p, and owns p from then on.
func (st *Stream) deliverPipe(p *splice.Pipe) {
	d := st.store(p.Len(), func() { st.received.writePipe(p) })
	if d.discarded {
		p.Release()
	}
	st.afterDelivery(d)
}

// delivery is what the arrival of bytes calls for.
type delivery struct {
	discarded bool // nobody will read the bytes
	first     bool // they are the first of the stream
	attached  *attachment
}

// store has put append n received bytes, unless nobody will read them.
func (st *Stream) store(n int, put func()) delivery {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.discardsLocked() {
		return delivery{discarded: true}
	}
	put()
	st.recvWindow.left -= n
	st.session.buffered.add(n)
	st.session.config.Budget.add(n)
	st.readable.Broadcast()
	return delivery{first: st.recvWindow.start(), attached: st.attached}
}

// discardsLocked reports whether nobody will read what comes: the stream is closed, or
// was reset while the rest of a frame was in flight.
func (st *Stream) discardsLocked() bool { return st.closed || st.err != nil }

// afterDelivery notifies the attachment and enforces the budgets. If the bytes were
// discarded it resets the stream.
func (st *Stream) afterDelivery(d delivery) {
	s := st.session
	if d.discarded {
		st.sendReset()
		return
	}
	if d.first {
		s.measureRTTOnce()
	}
	if d.attached != nil {
		s.runCallback(d.attached.onReadable)
	}
	if s.buffered.exceeded() != nil {
		if s.shed() {
			s.config.Counters.ShedBySession.Add(1)
		}
		return
	}
	if over := s.config.Budget.exceeded(); over != nil && over.shed() {
		s.config.Counters.ShedByBudget.Add(1)
	}
}

// acceptsPipes reports whether payload may be delivered in a pipe.
func (st *Stream) acceptsPipes() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.attached != nil && !st.attached.copied && !st.discardsLocked() && st.received.pipes < maxStreamPipes
}

// growSendWindow adds n bytes to what this side may send.
func (st *Stream) growSendWindow(n uint32) error {
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
		st.notifyWritable()
	}
	return nil
}

// sendACK tells the peer that its stream has been accepted (spec, "Stream Opening").
func (st *Stream) sendACK() {
	st.session.out.sendControl(header{typeWindowUpdate, flagACK, st.id, 0})
}

// handleEnd handles the flags that end the stream (spec, "Stream Closing"). It reports
// whether they changed anything.
func (st *Stream) handleEnd(f flags) bool {
	switch {
	case f&flagRST != 0:
		st.fail(ErrReset)
		st.remove()
	case f&flagFIN != 0 && st.handleFIN():
	default:
		return false
	}
	st.notifyReadable()
	return true
}

// handleFIN records a FIN, and reports whether it is the first. After a failure it does
// not count as received: what was sent before it may have been dropped.
func (st *Stream) handleFIN() bool {
	st.mu.Lock()
	first := !st.finReceived
	if st.err == nil {
		st.finReceived = true
	}
	over := st.finQueued
	st.readable.Broadcast()
	st.mu.Unlock()
	if over {
		st.remove()
	}
	return first
}

// maxLate returns how much may still come of the stream, in bytes, now that it has
// ended.
func (st *Stream) maxLate() int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.finReceived {
		return lateControlFrames
	}
	return lateControlFrames + int64(st.recvWindow.left)
}

// notifyReadable tells the attachment that there is something to read.
func (st *Stream) notifyReadable() {
	st.mu.Lock()
	attached := st.attached
	st.mu.Unlock()
	if attached != nil {
		st.session.runCallback(attached.onReadable)
	}
}
