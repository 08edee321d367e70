package yamux

import (
	"net"
	"time"
)

// closeTimeout is how long a stream that was closed here waits for the peer's FIN, like
// the kernel's tcp_fin_timeout for sockets.
const closeTimeout = 60 * time.Second

// OnEnd has f called once when the stream has ended in both directions, or failed; at
// once if it already has. It must not block. If f panics the session ends with a
// *crash.Error.
func (st *Stream) OnEnd(f func()) {
	st.mu.Lock()
	removed := st.removed
	st.onEnd = f
	st.mu.Unlock()
	if removed {
		st.session.runCallback(f)
	}
}

// CloseWrite sends FIN: the peer reads the end, and may go on sending.
func (st *Stream) CloseWrite() error {
	st.writeMu.Lock()
	defer st.writeMu.Unlock()
	st.mu.Lock()
	switch {
	case st.closed:
		st.mu.Unlock()
		return net.ErrClosed
	case st.err != nil:
		defer st.mu.Unlock()
		return st.err
	}
	return st.sendFINAndUnlock()
}

// sendFINAndUnlock sends FIN unless it was sent. The caller also holds writeMu.
func (st *Stream) sendFINAndUnlock() error {
	if st.finSent {
		st.mu.Unlock()
		return nil
	}
	st.finSent = true
	st.writable.Broadcast() // for a caller that waits in WaitWritable
	st.mu.Unlock()
	err := st.session.out.sendOrdered(st, header{typeWindowUpdate, flagFIN, st.id, 0})
	st.mu.Lock()
	st.finQueued = true
	over := st.finReceived
	st.mu.Unlock()
	if over {
		st.remove()
	} else {
		st.session.noteLocalEnd(st)
	}
	return err
}

// Close closes the stream as a TCP connection is closed: what was written is delivered,
// followed by FIN. But if the peer's data was not all read, or more comes, the peer
// gets an RST.
func (st *Stream) Close() error {
	st.mu.Lock()
	if st.closed {
		st.mu.Unlock()
		return net.ErrClosed
	}
	unread := st.unreadLocked() > 0
	st.closeLocked()
	st.mu.Unlock()

	st.writeMu.Lock() // a blocked write returns now
	defer st.writeMu.Unlock()
	st.mu.Lock()
	switch {
	case st.err != nil || st.removed:
		st.mu.Unlock()
		return nil
	case unread:
		st.mu.Unlock()
		st.sendReset()
		return nil
	case !st.finReceived:
		st.closeTimer = time.AfterFunc(closeTimeout, st.sendReset)
	}
	return st.sendFINAndUnlock()
}

// Reset ends both directions at once and closes the stream.
func (st *Stream) Reset() error {
	st.mu.Lock()
	if st.closed {
		st.mu.Unlock()
		return net.ErrClosed
	}
	st.closeLocked()
	over := st.err != nil || st.removed
	st.mu.Unlock()
	if !over {
		st.sendReset()
	}
	return nil
}

// closeLocked ends the use of the stream on this side.
func (st *Stream) closeLocked() {
	st.closed = true
	st.dropReceivedLocked()
	st.readTimeout.stop()
	st.writeTimeout.stop()
	st.readable.Broadcast()
	st.writable.Broadcast()
}

// sendReset sends RST, unless the stream has ended already.
func (st *Stream) sendReset() { st.removeWithReset(st.session.out.sendOrdered) }

// abort resets the stream because of err, which ends the session. The next flush sends
// the RST.
func (st *Stream) abort(err error) {
	st.fail(err)
	st.removeWithReset(st.session.out.queueOrdered)
	st.notifyReadable()
}

// removeWithReset removes the stream and sends RST, unless it is removed already. The
// session is not drained in between.
func (st *Stream) removeWithReset(send func(*Stream, header) error) {
	s := st.session
	s.resetting.RLock()
	first, onEnd := st.removeOnce()
	if first {
		_ = send(st, header{typeWindowUpdate, flagRST, st.id, 0}) // fails only with the session
	}
	s.resetting.RUnlock()
	if onEnd != nil {
		s.runCallback(onEnd)
	}
}

// remove removes a stream that has ended without an RST from here.
func (st *Stream) remove() {
	if _, onEnd := st.removeOnce(); onEnd != nil {
		st.session.runCallback(onEnd)
	}
}

// removeOnce removes the stream from the session's table. It reports whether it was
// there, and returns the callback that is due then.
func (st *Stream) removeOnce() (first bool, onEnd func()) {
	st.mu.Lock()
	first, onEnd = !st.removed, st.onEnd
	st.removed = true
	st.readTimeout.stop() // nobody waits any more
	st.writeTimeout.stop()
	if st.closeTimer != nil {
		st.closeTimer.Stop()
	}
	st.mu.Unlock()
	if !first {
		return false, nil
	}
	st.session.removeStream(st)
	return true, onEnd
}

func (st *Stream) endWithSession(err error) {
	st.fail(err)
	st.remove()
	st.notifyReadable()
}

func (st *Stream) fail(err error) {
	st.mu.Lock()
	if over := st.finSent && st.finReceived; st.err == nil && !over {
		st.err = err
	}
	st.readable.Broadcast()
	st.writable.Broadcast()
	st.mu.Unlock()
	st.notifyWritable()
}
