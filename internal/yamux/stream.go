package yamux

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// orphanWait is how long a stream that was closed here waits for the peer's
// FIN, as the kernel's tcp_fin_timeout is for sockets.
const orphanWait = 60 * time.Second

// errWriteClosed is what writing after CloseWrite gives, as on TCP.
var errWriteClosed = fmt.Errorf("yamux: write after CloseWrite: %w", syscall.EPIPE)

// Stream is a connection within a session. It is a net.Conn whose directions
// can be ended one by one. Its methods may be called concurrently.
type Stream struct {
	session *Session
	id      uint32

	writing sync.Mutex // held by the one Write or CloseWrite at a time

	mu       sync.Mutex // guards what follows, and is never held across I/O
	readable sync.Cond
	writable sync.Cond

	received   buffer
	recvWindow uint32 // what the peer may still send
	consumed   uint32 // what was read and not yet added to the peer's window
	sendWindow uint32 // what we may still send

	unacked      bool // we opened it, and the peer has not acknowledged it
	finSent      bool // nothing is written any more
	finQueued    bool // and nothing stands before FIN that could be lost
	finReceived  bool
	closed       bool   // by Close or Reset: nobody reads or writes here any more
	gone         bool   // out of the session's table
	onEnd        func() // see OnEnd
	err          error  // reset by the peer, or the session ended
	readTimeout  deadline
	writeTimeout deadline
	orphan       *time.Timer
}

var _ net.Conn = (*Stream)(nil)

func newStream(s *Session, id uint32) *Stream {
	st := &Stream{session: s, id: id, recvWindow: initialWindow, sendWindow: initialWindow}
	st.readable.L, st.writable.L = &st.mu, &st.mu
	return st
}

// OnEnd has f called once when the stream has ended in both directions, or
// failed; at once if it has. It must not block.
func (st *Stream) OnEnd(f func()) {
	st.mu.Lock()
	gone := st.gone
	st.onEnd = f
	st.mu.Unlock()
	if gone {
		f()
	}
}

// Read reads what the peer has sent. Its error is io.EOF after the peer's FIN,
// ErrReset after its RST, ErrSessionEnded, net.ErrClosed or
// os.ErrDeadlineExceeded.
func (st *Stream) Read(b []byte) (int, error) {
	n, grown, err := st.read(b)
	if grown > 0 {
		st.session.out.window(header{typeWindowUpdate, 0, st.id, grown})
	}
	return n, err
}

// read is Read without I/O. What grown gives back to the peer's window is
// announced when half of it is used up: earlier costs frames, later costs
// waiting.
func (st *Stream) read(b []byte) (n int, grown uint32, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		switch {
		case st.closed:
			return 0, 0, net.ErrClosed
		case st.readTimeout.passed():
			return 0, 0, os.ErrDeadlineExceeded
		case st.received.size > 0:
			n = st.received.read(b)
			st.consumed += uint32(n)
			if st.consumed >= initialWindow/2 && !st.finReceived && st.err == nil {
				grown, st.consumed = st.consumed, 0
				st.recvWindow += grown
			}
			return n, grown, nil
		case st.finReceived:
			return 0, 0, io.EOF
		case st.err != nil:
			return 0, 0, st.err
		case len(b) == 0:
			return 0, 0, nil
		}
		st.readable.Wait()
	}
}

// WaitReadable returns when Read would not wait: there are bytes, the end or an
// error.
func (st *Stream) WaitReadable() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for st.received.size == 0 && !st.finReceived && st.err == nil && !st.closed && !st.readTimeout.passed() {
		st.readable.Wait()
	}
}

// Room waits until Write would not wait for the peer, and gives how many bytes
// that holds for. Its errors are those of Write.
func (st *Stream) Room() (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.waitWindowLocked(); err != nil {
		return 0, err
	}
	return int(st.sendWindow), nil
}

// Write sends b. Its error is ErrReset, ErrSessionEnded, net.ErrClosed,
// os.ErrDeadlineExceeded, or wraps EPIPE after CloseWrite.
func (st *Stream) Write(b []byte) (n int, err error) {
	st.writing.Lock()
	defer st.writing.Unlock()
	for first := true; first || n < len(b); first = false {
		allowed, err := st.reserve(len(b) - n)
		if err != nil || allowed == 0 {
			return n, err
		}
		frame, err := st.session.out.data(st, b[n:n+allowed])
		if err == nil && frame != nil {
			err = st.waitSent(frame)
		}
		if err != nil {
			return n, err
		}
		n += allowed
	}
	return n, nil
}

// reserve takes up to n bytes of the peer's window. It waits while there is
// none.
func (st *Stream) reserve(n int) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if n == 0 {
		return 0, st.writeErrLocked()
	}
	if err := st.waitWindowLocked(); err != nil {
		return 0, err
	}
	n = min(n, maxFrame, int(st.sendWindow))
	st.sendWindow -= uint32(n)
	return n, nil
}

// waitWindowLocked waits until something may be sent.
func (st *Stream) waitWindowLocked() error {
	for {
		if err := st.writeErrLocked(); err != nil || st.sendWindow > 0 {
			return err
		}
		st.writable.Wait()
	}
}

// writeErrLocked gives why nothing can be written any more, if so.
func (st *Stream) writeErrLocked() error {
	switch {
	case st.closed:
		return net.ErrClosed
	case st.err != nil:
		return st.err
	case st.finSent:
		return errWriteClosed
	case st.writeTimeout.passed():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// waitSent waits until a frame is sent, and calls it back if there is no need
// for it any more. A frame that is being written is waited for in any case:
// the buffer is the caller's.
func (st *Stream) waitSent(f *largeFrame) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	for !f.sent {
		var err error
		switch {
		case st.closed:
			err = net.ErrClosed
		case st.err != nil:
			err = st.err
		case st.writeTimeout.passed():
			err = os.ErrDeadlineExceeded
		}
		if err != nil && st.session.out.cancel(f) {
			st.sendWindow += uint32(len(f.payload))
			return err
		}
		st.writable.Wait()
	}
	return f.err
}

// frameSent says that a frame has been written, or, if err is not nil, never
// will be.
func (st *Stream) frameSent(f *largeFrame, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	f.sent = true
	if err != nil {
		f.err = sessionError(err)
	}
	st.writable.Broadcast()
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
	err := st.session.out.ordered(header{typeWindowUpdate, flagFIN, st.id, 0})
	st.mu.Lock()
	st.finQueued = true
	over := st.finReceived
	st.mu.Unlock()
	if over {
		st.leave()
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
	unread := st.received.size > 0
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
	st.received.clear()
	st.readTimeout.stop()
	st.writeTimeout.stop()
	st.readable.Broadcast()
	st.writable.Broadcast()
}

// sendReset sends RST, if the stream has not ended by itself.
func (st *Stream) sendReset() {
	if st.leave() {
		_ = st.session.out.queue(header{typeWindowUpdate, flagRST, st.id, 0}) // fails with the session
	}
}

// leave takes the stream out of the session's table. It tells whether it was
// there.
func (st *Stream) leave() bool {
	st.mu.Lock()
	first, onEnd := !st.gone, st.onEnd
	st.gone = true
	if st.orphan != nil {
		st.orphan.Stop()
	}
	st.mu.Unlock()
	if !first {
		return false
	}
	st.acknowledged()
	st.session.remove(st)
	if onEnd != nil {
		onEnd()
	}
	return true
}

// The rest is what arrives from the peer. It is called by the session's reader
// and never waits.

// expect takes n bytes that are announced off the peer's window.
func (st *Stream) expect(n uint32) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if n > st.recvWindow {
		return fmt.Errorf("%w: %d bytes, where the window is %d", ErrProtocol, n, st.recvWindow)
	}
	if n > 0 && st.finReceived {
		return fmt.Errorf("%w: data after FIN", ErrProtocol)
	}
	st.recvWindow -= n
	return nil
}

// deliver keeps b for Read. Nobody reads a closed stream, and its peer is told
// so.
func (st *Stream) deliver(b []byte) {
	st.mu.Lock()
	if !st.closed {
		st.received.write(b)
		st.readable.Broadcast()
		st.mu.Unlock()
		return
	}
	st.mu.Unlock()
	st.sendReset()
}

// grow adds to what we may send.
func (st *Stream) grow(n uint32) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if n > math.MaxInt32-st.sendWindow {
		return fmt.Errorf("%w: window grows beyond 2 GiB", ErrProtocol)
	}
	st.sendWindow += n
	if n > 0 {
		st.writable.Broadcast()
	}
	return nil
}

// acknowledge tells the peer that its stream has been accepted.
func (st *Stream) acknowledge() {
	st.session.out.window(header{typeWindowUpdate, flagACK, st.id, 0})
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

func (st *Stream) peerFinished() {
	st.mu.Lock()
	st.finReceived = true
	over := st.finQueued
	st.readable.Broadcast()
	st.mu.Unlock()
	if over {
		st.leave()
	}
}

func (st *Stream) peerReset() {
	st.fail(ErrReset)
	st.leave()
}

func (st *Stream) sessionEnded(err error) {
	st.fail(err)
	st.leave()
}

func (st *Stream) fail(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if over := st.finSent && st.finReceived; st.err == nil && !over {
		st.err = err
	}
	st.readable.Broadcast()
	st.writable.Broadcast()
}

// LocalAddr is the address of the session's connection.
func (st *Stream) LocalAddr() net.Addr { return st.session.conn.LocalAddr() }

// RemoteAddr is the address of the session's connection.
func (st *Stream) RemoteAddr() net.Addr { return st.session.conn.RemoteAddr() }

// SetDeadline sets both deadlines.
func (st *Stream) SetDeadline(t time.Time) error {
	return errors.Join(st.SetReadDeadline(t), st.SetWriteDeadline(t))
}

// SetReadDeadline sets the time after which Read fails. Zero means never.
func (st *Stream) SetReadDeadline(t time.Time) error {
	return st.setDeadline(&st.readTimeout, &st.readable, t)
}

// SetWriteDeadline sets the time after which Write fails. Zero means never.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	return st.setDeadline(&st.writeTimeout, &st.writable, t)
}

func (st *Stream) setDeadline(d *deadline, waiting *sync.Cond, t time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return net.ErrClosed
	}
	d.set(t, func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		waiting.Broadcast()
	})
	waiting.Broadcast()
	return nil
}
