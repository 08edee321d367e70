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

// errWriteClosed is the error of a write after CloseWrite, as on TCP.
var errWriteClosed = fmt.Errorf("yamux: write after CloseWrite: %w", syscall.EPIPE)

// Stream is a connection within a session. It is a net.Conn whose directions can be
// ended separately. Its methods may be called concurrently, except where they say
// otherwise.
//
// Its methods are in several files: reads and writes here, its end in streamclose.go,
// what the peer sends in receive.go, joining it with a socket in attach.go.
type Stream struct {
	session *Session
	id      uint32

	writeMu     sync.Mutex // held by one Write or CloseWrite at a time
	largeFrames int        // of this stream in sender.large; guarded by sender.mu

	slot         chan struct{} // in Session.unacked, until the stream is acknowledged; guarded by Session.mu
	acknowledged bool          // the peer has sent something on it; only the session's reader uses this

	mu       sync.Mutex // guards what follows, and is never held across I/O
	readable sync.Cond
	writable sync.Cond

	received   buffer
	held       int // bytes taken out of received and not yet read
	recvWindow window
	sendWindow uint32 // what this side may still send

	attached      *attachment // see Attach
	wantsWritable bool        // attached could not write
	bulky         bool        // attached reads much at a time
	pipeFrames    int         // frames in pipes that are not written yet

	finSent      bool // nothing can be written any more
	finQueued    bool // and nothing before the FIN can be lost
	finReceived  bool
	closed       bool   // by Close or Reset: this side is done with the stream
	removed      bool   // from the session's table
	onEnd        func() // see OnEnd
	err          error  // reset by the peer, or the session ended
	readTimeout  deadline
	writeTimeout deadline
	closeTimer   *time.Timer
}

var _ net.Conn = (*Stream)(nil)

func newStream(s *Session, id uint32) *Stream {
	st := &Stream{session: s, id: id, recvWindow: newWindow(), sendWindow: initialWindow}
	st.readable.L, st.writable.L = &st.mu, &st.mu
	return st
}

// Read reads what the peer has sent. Its error is io.EOF after the peer's FIN, ErrReset
// after its RST, ErrSessionEnded, ErrOverBudget, net.ErrClosed or
// os.ErrDeadlineExceeded.
func (st *Stream) Read(b []byte) (int, error) {
	n, update, err := st.read(b)
	st.sendUpdate(update)
	return n, err
}

// sendUpdate sends u to the peer.
func (st *Stream) sendUpdate(u windowUpdate) {
	if u.measure {
		st.session.measureRTT()
	}
	if u.delta > 0 {
		st.session.out.sendControl(header{typeWindowUpdate, 0, st.id, uint32(u.delta)})
	}
}

// read is Read without I/O. It also returns the update for the peer.
func (st *Stream) read(b []byte) (n int, update windowUpdate, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		switch {
		case st.closed:
			return 0, update, net.ErrClosed
		case st.readTimeout.passed():
			return 0, update, os.ErrDeadlineExceeded
		case st.received.size > 0:
			n = st.received.read(b)
			return n, st.consumedLocked(n), nil
		case st.finReceived:
			return 0, update, io.EOF
		case st.err != nil:
			return 0, update, st.err
		case len(b) == 0:
			return 0, update, nil
		}
		st.readable.Wait()
	}
}

// consumedLocked counts n bytes that were read, and returns the update for the peer.
func (st *Stream) consumedLocked(n int) windowUpdate {
	s := st.session
	s.buffered.add(-n)
	s.config.Budget.add(-n)
	if st.finReceived || st.err != nil {
		return windowUpdate{}
	}
	pressure := s.buffered.underPressure() || s.config.Budget.underPressure()
	limit := min(s.buffered.windowLimit(), s.config.Budget.windowLimit())
	return st.recvWindow.grant(st.received.size+st.held, time.Duration(s.peer.roundTrip.Load()), limit, pressure)
}

// WaitReadable returns when Read would not wait: there are bytes, the end or an error.
func (st *Stream) WaitReadable() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for !st.readableLocked() {
		st.readable.Wait()
	}
}

// WaitWritable waits until Write would not wait for the peer, and returns for how many
// bytes.
// Its errors are those of Write.
func (st *Stream) WaitWritable() (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.waitWindowLocked(); err != nil {
		return 0, err
	}
	return int(st.sendWindow), nil
}

// Write sends b. Its error is ErrReset, ErrSessionEnded, ErrOverBudget, net.ErrClosed,
// os.ErrDeadlineExceeded, or wraps EPIPE after CloseWrite.
func (st *Stream) Write(b []byte) (n int, err error) {
	st.writeMu.Lock()
	defer st.writeMu.Unlock()
	for first := true; first || n < len(b); first = false {
		allowed, err := st.reserveWindow(len(b) - n)
		if err != nil || allowed == 0 {
			return n, err
		}
		frame, err := st.session.out.sendData(st, b[n:n+allowed])
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

// TryRead is Read, or returns EAGAIN if there is nothing to read yet.
func (st *Stream) TryRead(b []byte) (int, error) {
	if !st.isReadable() {
		return 0, syscall.EAGAIN
	}
	return st.Read(b)
}

// isReadable reports whether Read would not wait, for the only reader of the stream.
func (st *Stream) isReadable() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.readableLocked()
}

func (st *Stream) readableLocked() bool {
	return st.received.size > 0 || st.finReceived || st.err != nil || st.closed || st.readTimeout.passed()
}

// TryWrite sends all of b if that takes no waiting, or none of it, and reports which.
func (st *Stream) TryWrite(b []byte) bool {
	if !st.writeMu.TryLock() {
		return false
	}
	defer st.writeMu.Unlock()
	st.mu.Lock()
	fits := st.writeErrLocked() == nil && len(b) <= int(st.sendWindow)
	st.mu.Unlock()
	if !fits || !st.session.out.trySendData(st, b) {
		return false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sendWindow -= uint32(len(b)) // nobody else has taken it: see writeMu
	return true
}

// reserveWindow takes up to n bytes of the peer's window. It waits while the window is
// empty.
func (st *Stream) reserveWindow(n int) (int, error) {
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

// writeErrLocked returns why nothing can be written any more, or nil.
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

// waitSent waits until a frame is sent, and cancels it if the stream ends or the
// deadline passes first. The payload belongs to the caller again when it returns. On a
// connection that is not a socket it always waits for a frame that is being written.
func (st *Stream) waitSent(f *frame) error {
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
		if err != nil {
			unsent, released := st.session.out.cancelFrame(f)
			if unsent {
				st.sendWindow = min(st.sendWindow+uint32(len(f.payload)), math.MaxInt32) // see growSendWindow
			}
			if released {
				return err
			}
		}
		st.writable.Wait()
	}
	return f.err
}

// frameSent records that a frame has been written, or, if err is not nil, never will
// be.
func (st *Stream) frameSent(f *frame, err error) {
	st.mu.Lock()
	f.sent = true
	if f.pipe != nil {
		st.pipeFrames--
	}
	if err != nil {
		f.err = sessionError(err)
	}
	st.writable.Broadcast()
	st.mu.Unlock()
	st.notifyWritable()
}

// LocalAddr returns the local address of the session's connection.
func (st *Stream) LocalAddr() net.Addr { return st.session.conn.LocalAddr() }

// RemoteAddr returns the remote address of the session's connection.
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
	if st.removed { // nobody waits any more, and a timer would keep the stream in memory
		d.stop()
	}
	waiting.Broadcast()
	return nil
}
