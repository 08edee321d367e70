package yamux

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/splice"
)

const (
	// maxFrame is the most payload of a frame that was written from memory: enough that
	// headers cost nothing, little enough that other streams soon have their turn.
	maxFrame = 64 << 10
	// smallFrame is the most payload that is copied, so that its writer need not wait.
	smallFrame = 4 << 10
	// maxPending bounds the headers that wait for a peer that sends and does not read.
	maxPending = 1 << 20
	// maxPongs bounds the answers to pings that wait; a peer that pings faster than it
	// reads gets no more.
	maxPongs = 32
)

var errNotReading = errors.New("the peer sends, but does not read")

// sender writes frames. The caller that has a frame writes it itself, in one system
// call, if nobody else is writing and the socket takes it. Otherwise the frame is
// gathered with others, and a goroutine of the session sends them together. That
// goroutine exists only while something waits.
//
// Small frames overtake large ones of other streams, never of their own. Large frames
// are sent in the order in which they came. As each stream has few of them waiting,
// streams take turns.
type sender struct {
	conn        Conn
	socket      *socket // of conn, if it is one
	startWriter func()  // runs writeLoop in another goroutine, and ends the session with its error

	mu       sync.Mutex  // guards what follows
	idle     sync.Cond   // signaled when nothing waits to be sent, and after each write
	writing  bool        // a write is in progress
	busy     bool        // somebody writes batches, and owns current
	shut     bool        // nothing more will be queued
	asked    bool        // askTurn was called, and takeTurn not yet
	full     atomic.Bool // the socket takes no more until the loop calls resume
	current  batch       // the batch that is being written
	urgent   []byte      // headers that need no order: pings, window updates
	pongs    int         // answers to pings in urgent
	headers  []byte      // in order, where gather had no space
	gather   *[gatherSize]byte
	gathered int // bytes in gather
	large    []*frame
	blocked  []*Stream // found no space in gather
	err      error

	askTurn func() // has an event loop call takeTurn, if one serves the socket, or nil
}

// newSender returns a sender that calls startWriter only before stop has been called.
func newSender(conn Conn, startWriter func()) *sender {
	o := &sender{conn: conn, socket: socketOf(conn), startWriter: startWriter}
	o.idle.L = &o.mu
	return o
}

// sendControl queues a header ahead of all data. It drops the answer to a ping if too
// many wait.
func (o *sender) sendControl(h header) {
	o.mu.Lock()
	defer o.mu.Unlock()
	pong := h.kind == typePing && h.flags&flagACK != 0
	switch {
	case o.err != nil || o.shut || pong && o.pongs == maxPongs:
		return
	case len(o.urgent) > maxPending:
		o.failSessionLocked(errNotReading)
		return
	case pong:
		o.pongs++
	}
	o.urgent = h.appendTo(o.urgent)
	o.flushLocked()
}

// sendOrdered queues a header behind everything that its stream has sent, unless
// sending is shut down. It fails if the session has ended, and ends it if so many
// headers wait that the peer cannot be reading.
func (o *sender) sendOrdered(st *Stream, h header) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.queueHeaderLocked(st, h)
	if err == nil {
		o.flushLocked()
	}
	return err
}

// queueOrdered is sendOrdered, but sends nothing before the next flush.
func (o *sender) queueOrdered(st *Stream, h header) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queueHeaderLocked(st, h)
}

func (o *sender) queueHeaderLocked(st *Stream, h header) error {
	switch {
	case o.err != nil || o.shut:
		return o.err
	case len(o.urgent)+len(o.headers) > maxPending:
		o.failSessionLocked(errNotReading)
		return o.err
	case st != nil && st.largeFrames > 0:
		o.queueLargeLocked(&frame{stream: st, header: h.appendTo(nil)})
	case len(o.headers) > 0 || o.gatherSpaceLocked() < headerSize:
		o.headers = h.appendTo(o.headers)
	default:
		o.gathered = len(h.appendTo(o.gatherBufferLocked()))
	}
	return nil
}

// sendData sends a data frame. It returns a frame if the payload was not copied: the
// writer then waits until it is sent.
func (o *sender) sendData(st *Stream, payload []byte) (*frame, error) {
	h := header{typeData, 0, st.id, uint32(len(payload))}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.errLocked(); err != nil {
		return nil, err
	}
	var f *frame
	if !o.gatherFrameLocked(st, h, payload) {
		f = &frame{stream: st, header: h.appendTo(nil), payload: payload}
		o.queueLargeLocked(f)
	}
	o.flushLocked()
	return f, nil
}

// trySendData sends a data frame whose payload it copies. It returns false if it
// cannot.
func (o *sender) trySendData(st *Stream, payload []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.errLocked() != nil || !o.gatherFrameLocked(st, header{typeData, 0, st.id, uint32(len(payload))}, payload) {
		return false
	}
	o.flushLocked()
	return true
}

// gatherFrameLocked gathers a frame if it is small and there is space, and reports
// whether it did.
func (o *sender) gatherFrameLocked(st *Stream, h header, payload []byte) bool {
	fits := len(payload) <= smallFrame && st.largeFrames == 0 && o.gatherSpaceLocked() >= headerSize+len(payload)
	if fits {
		o.gathered = len(append(h.appendTo(o.gatherBufferLocked()), payload...))
	}
	return fits
}

// sendPipe queues a data frame with the content of p, and owns p from then on.
func (o *sender) sendPipe(st *Stream, p *splice.Pipe) error {
	h := header{typeData, 0, st.id, uint32(p.Len())}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.errLocked(); err != nil {
		p.Release()
		return err
	}
	o.queueLargeLocked(&frame{stream: st, header: h.appendTo(nil), pipe: p})
	o.flushLocked()
	return nil
}

// gatherFrom has read put payload, up to limit bytes, directly into the gather buffer,
// and makes a frame of it that the next flush sends. Without space it returns EAGAIN,
// and notifies st when there is some.
func (o *sender) gatherFrom(st *Stream, limit int, read func([]byte) (int, error)) (n, asked int, roomErr, readErr error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.errLocked(); err != nil {
		return 0, 0, err, nil
	}
	asked = min(limit, o.gatherSpaceLocked()-headerSize)
	if asked < min(limit, smallFrame) || st.largeFrames > 0 {
		if st.largeFrames == 0 {
			o.blocked = append(o.blocked, st)
		}
		o.flushLocked()
		return 0, 0, syscall.EAGAIN, nil
	}
	b := o.gatherBufferLocked()
	start := len(b)
	n, readErr = read(b[start+headerSize : start+headerSize+asked])
	switch {
	case n > 0:
		header{typeData, 0, st.id, uint32(n)}.appendTo(b)
		o.gathered = start + headerSize + n
	case start == 0:
		gatherPool.Put(o.gather)
		o.gather = nil
	}
	return n, asked, nil, readErr
}

// flush sends what was gathered.
func (o *sender) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushLocked()
}

// gatherSpaceLocked returns how many bytes can still be gathered. Nothing may overtake
// headers that found no space.
func (o *sender) gatherSpaceLocked() int {
	if len(o.headers) > 0 {
		return 0
	}
	return gatherSize - o.gathered
}

// gatherBufferLocked returns the gathered bytes, to append to.
func (o *sender) gatherBufferLocked() []byte {
	if o.gather == nil {
		o.gather = gatherPool.Get().(*[gatherSize]byte)
	}
	return o.gather[:o.gathered]
}

func (o *sender) gatheredLocked() []byte {
	if o.gather == nil {
		return nil
	}
	return o.gather[:o.gathered]
}

func (o *sender) queueLargeLocked(f *frame) {
	f.stream.largeFrames++
	o.large = append(o.large, f)
}

// cancelFrame withdraws a frame whose payload is in memory. Unsent reports that none of
// it is sent. Otherwise released reports that the rest of it has been copied, so that
// its writer need not wait while the connection takes nothing.
func (o *sender) cancelFrame(f *frame) (unsent, released bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, queued := range o.large {
		if queued == f {
			o.large = append(o.large[:i], o.large[i+1:]...)
			f.stream.largeFrames--
			return true, true
		}
	}
	for o.socket != nil && o.writing && o.current.frame == f {
		o.idle.Wait() // this is short: no write to a socket blocks
	}
	if o.socket == nil || o.current.frame != f {
		return false, false
	}
	o.current.copyPayload()
	return false, true
}

// errShutdown is the error of data that is written after the session's shutdown began.
var errShutdown = sessionError(net.ErrClosed)

// errLocked returns why no data is sent any more, or nil.
func (o *sender) errLocked() error {
	if o.err == nil && o.shut {
		return errShutdown
	}
	return o.err
}

// failSessionLocked stops sending for the given reason, and then ends the session.
func (o *sender) failSessionLocked(err error) {
	o.stopLocked(err)
	o.startWriter()
}

// stopLocked stops sending for the given reason.
func (o *sender) stopLocked(err error) {
	o.err = sessionError(err)
	_ = catchPanic(func() error {
		return o.conn.SetWriteDeadline(time.Unix(1, 0)) // long past: a blocked write returns
	})
	o.idle.Broadcast()
}

// failSession stops sending, and then ends the session.
func (o *sender) failSession(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.failSessionLocked(err)
	}
}

// stop stops sending for a session that ends.
func (o *sender) stop(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.stopLocked(err)
	}
}
