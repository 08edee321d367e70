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

// errWriteClosed is what writing after CloseWrite gives, as on TCP.
var errWriteClosed = fmt.Errorf("yamux: write after CloseWrite: %w", syscall.EPIPE)

// Stream is a connection within a session. It is a net.Conn whose directions
// can be ended one by one. Its methods may be called concurrently, except where
// they say otherwise.
//
// What it does is in several files: reading and writing here, how it ends in
// end.go, what the peer sends in arrive.go, joining it with a socket in
// attach.go.
type Stream struct {
	session *Session
	id      uint32

	writing sync.Mutex // held by the one Write or CloseWrite at a time
	large   int        // frames of ours in sender.large; guarded by sender.mu

	place chan struct{} // in Session.unacked, if it is not acknowledged; guarded by Session.mu
	had   bool          // something has come from the peer, of which only the session's reader knows

	mu       sync.Mutex // guards what follows, and is never held across I/O
	readable sync.Cond
	writable sync.Cond

	received   buffer
	held       int // bytes that were taken out of received and not yet read
	recvWindow window
	sendWindow uint32 // what we may still send

	attached  *attachment // see Attach
	wantsRoom bool        // attached found no room to write
	bulky     bool        // much comes from attached at a time
	frames    int         // of it, in pipes, that are not written yet

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
	st := &Stream{session: s, id: id, recvWindow: newWindow(), sendWindow: initialWindow}
	st.readable.L, st.writable.L = &st.mu, &st.mu
	return st
}

// Read reads what the peer has sent. Its error is io.EOF after the peer's FIN,
// ErrReset after its RST, ErrSessionEnded, ErrOverBudget, net.ErrClosed or
// os.ErrDeadlineExceeded.
func (st *Stream) Read(b []byte) (int, error) {
	n, news, err := st.read(b)
	st.announce(news)
	return n, err
}

// announce opens the peer's window.
func (st *Stream) announce(a announcement) {
	if a.hurried {
		st.session.measure()
	}
	if a.grown > 0 {
		st.session.out.control(header{typeWindowUpdate, 0, st.id, uint32(a.grown)})
	}
}

// read is Read without I/O. It also gives what the peer is to be told.
func (st *Stream) read(b []byte) (n int, news announcement, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		switch {
		case st.closed:
			return 0, news, net.ErrClosed
		case st.readTimeout.passed():
			return 0, news, os.ErrDeadlineExceeded
		case st.received.size > 0:
			n = st.received.read(b)
			return n, st.consumedLocked(n), nil
		case st.finReceived:
			return 0, news, io.EOF
		case st.err != nil:
			return 0, news, st.err
		case len(b) == 0:
			return 0, news, nil
		}
		st.readable.Wait()
	}
}

// consumedLocked counts n bytes that were read, and says what the peer is to be
// told.
func (st *Stream) consumedLocked(n int) announcement {
	s := st.session
	s.buffered.add(-n)
	s.config.Budget.add(-n)
	if st.finReceived || st.err != nil {
		return announcement{}
	}
	short := s.buffered.short() || s.config.Budget.short()
	most := min(s.buffered.mostWindow(), s.config.Budget.mostWindow())
	return st.recvWindow.grant(st.received.size+st.held, time.Duration(s.peer.roundTrip.Load()), most, short)
}

// WaitReadable returns when Read would not wait: there are bytes, the end or an
// error.
func (st *Stream) WaitReadable() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for !st.readableLocked() {
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

// Write sends b. Its error is ErrReset, ErrSessionEnded, ErrOverBudget,
// net.ErrClosed, os.ErrDeadlineExceeded, or wraps EPIPE after CloseWrite.
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

// ReadNow is Read, or gives EAGAIN if there is nothing to read yet.
func (st *Stream) ReadNow(b []byte) (int, error) {
	if !st.isReadable() {
		return 0, syscall.EAGAIN
	}
	return st.Read(b)
}

// isReadable tells whether Read does not wait, for whoever alone reads.
func (st *Stream) isReadable() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.readableLocked()
}

func (st *Stream) readableLocked() bool {
	return st.received.size > 0 || st.finReceived || st.err != nil || st.closed || st.readTimeout.passed()
}

// WriteNow sends all of b, if that takes no waiting, or none of it.
func (st *Stream) WriteNow(b []byte) bool {
	if !st.writing.TryLock() {
		return false
	}
	defer st.writing.Unlock()
	st.mu.Lock()
	fits := st.writeErrLocked() == nil && len(b) <= int(st.sendWindow)
	st.mu.Unlock()
	if !fits || !st.session.out.dataNow(st, b) {
		return false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sendWindow -= uint32(len(b)) // which nobody else has taken: see writing
	return true
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
// for it any more. Its payload is the caller's again when it returns: on a
// connection that is no socket a frame that is being written is waited for in
// any case.
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
			unsent, released := st.session.out.cancel(f)
			if unsent {
				st.sendWindow = min(st.sendWindow+uint32(len(f.payload)), math.MaxInt32) // see grow
			}
			if released {
				return err
			}
		}
		st.writable.Wait()
	}
	return f.err
}

// frameSent says that a frame has been written, or, if err is not nil, never
// will be.
func (st *Stream) frameSent(f *frame, err error) {
	st.mu.Lock()
	f.sent = true
	if f.pipe != nil {
		st.frames--
	}
	if err != nil {
		f.err = sessionError(err)
	}
	st.writable.Broadcast()
	st.mu.Unlock()
	st.hasRoom()
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
	if st.gone { // nobody waits any more, and a timer would keep the stream for nothing
		d.stop()
	}
	waiting.Broadcast()
	return nil
}
