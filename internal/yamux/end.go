package yamux

import (
	"net"
	"time"
)

// orphanWait is how long a stream that was closed here waits for the peer's
// FIN, as the kernel's tcp_fin_timeout is for sockets.
const orphanWait = 60 * time.Second

// OnEnd has f called once when the stream has ended in both directions, or
// failed; at once if it has. It must not block. If it panics the session ends,
// with a *crash.Error.
func (st *Stream) OnEnd(f func()) {
	st.mu.Lock()
	gone := st.gone
	st.onEnd = f
	st.mu.Unlock()
	if gone {
		st.session.call(f)
	}
}

// CloseWrite sends FIN: the peer reads the end, and may go on sending.
func (st *Stream) CloseWrite() error {
	st.writing.Lock()
	defer st.writing.Unlock()
	st.mu.Lock()
	switch {
	case st.closed:
		st.mu.Unlock()
		return net.ErrClosed
	case st.err != nil:
		defer st.mu.Unlock()
		return st.err
	}
	return st.finishAndUnlock()
}

// finishAndUnlock sends FIN unless it was sent. The caller holds writing too.
func (st *Stream) finishAndUnlock() error {
	if st.finSent {
		st.mu.Unlock()
		return nil
	}
	st.finSent = true
	st.writable.Broadcast() // whoever is in Room
	st.mu.Unlock()
	err := st.session.out.ordered(st, header{typeWindowUpdate, flagFIN, st.id, 0})
	st.mu.Lock()
	st.finQueued = true
	over := st.finReceived
	st.mu.Unlock()
	if over {
		st.leave()
	} else {
		st.session.endedHere(st)
	}
	return err
}

// Close closes the stream as closing a TCP connection does: what was written
// is delivered, followed by FIN; but if the peer has sent what was not read, or
// sends more, it gets a reset.
func (st *Stream) Close() error {
	st.mu.Lock()
	if st.closed {
		st.mu.Unlock()
		return net.ErrClosed
	}
	unread := st.unreadLocked() > 0
	st.shutLocked()
	st.mu.Unlock()

	st.writing.Lock() // whoever writes leaves now
	defer st.writing.Unlock()
	st.mu.Lock()
	switch {
	case st.err != nil || st.gone:
		st.mu.Unlock()
		return nil
	case unread:
		st.mu.Unlock()
		st.sendReset()
		return nil
	case !st.finReceived:
		st.orphan = time.AfterFunc(orphanWait, st.sendReset)
	}
	return st.finishAndUnlock()
}

// Reset ends both directions at once and closes the stream.
func (st *Stream) Reset() error {
	st.mu.Lock()
	if st.closed {
		st.mu.Unlock()
		return net.ErrClosed
	}
	st.shutLocked()
	over := st.err != nil || st.gone
	st.mu.Unlock()
	if !over {
		st.sendReset()
	}
	return nil
}

// shutLocked ends the use of the stream on this side.
func (st *Stream) shutLocked() {
	st.closed = true
	st.dropReceivedLocked()
	st.readTimeout.stop()
	st.writeTimeout.stop()
	st.readable.Broadcast()
	st.writable.Broadcast()
}

// sendReset sends RST, if the stream has not ended by itself.
func (st *Stream) sendReset() { st.leaveReset(st.session.out.ordered) }

// abort resets the stream because of err, which ends the session. The peer is told by
// the next flush.
func (st *Stream) abort(err error) {
	st.fail(err)
	st.leaveReset(st.session.out.queue)
	st.tellArrived()
}

// leaveReset has the stream leave with an RST, unless it has left. A session does not
// finish in between.
func (st *Stream) leaveReset(send func(*Stream, header) error) {
	s := st.session
	s.resetting.RLock()
	first, onEnd := st.depart()
	if first {
		_ = send(st, header{typeWindowUpdate, flagRST, st.id, 0}) // fails with the session
	}
	s.resetting.RUnlock()
	if onEnd != nil {
		s.call(onEnd)
	}
}

// leave has the stream leave that has ended otherwise, unless it has left.
func (st *Stream) leave() {
	if _, onEnd := st.depart(); onEnd != nil {
		st.session.call(onEnd)
	}
}

// depart takes the stream out of the session's table. It reports whether it was there,
// and returns what is to be called then.
func (st *Stream) depart() (first bool, onEnd func()) {
	st.mu.Lock()
	first, onEnd = !st.gone, st.onEnd
	st.gone = true
	st.readTimeout.stop() // nobody waits any more
	st.writeTimeout.stop()
	if st.orphan != nil {
		st.orphan.Stop()
	}
	st.mu.Unlock()
	if !first {
		return false, nil
	}
	st.session.remove(st)
	return true, onEnd
}

func (st *Stream) sessionEnded(err error) {
	st.fail(err)
	st.leave()
	st.tellArrived()
}

func (st *Stream) fail(err error) {
	st.mu.Lock()
	if over := st.finSent && st.finReceived; st.err == nil && !over {
		st.err = err
	}
	st.readable.Broadcast()
	st.writable.Broadcast()
	st.mu.Unlock()
	st.hasRoom()
}
