package yamux

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/splice"
)

const (
	// maxFrame is the most payload that a frame carries that was written from
	// memory: enough that headers cost nothing, little enough that other
	// streams' turns come soon.
	maxFrame = 64 << 10
	// Payload up to smallFrame is copied, so that its writer need not wait.
	smallFrame = 4 << 10
	// maxPending bounds the headers that wait for a peer that sends and does
	// not read.
	maxPending = 1 << 20
	// maxPongs is how many answers to pings may wait; who pings faster than he
	// reads gets no more.
	maxPongs = 32
)

var errNotReading = errors.New("the peer sends, but does not read")

// sender writes frames. Whoever has a frame writes it himself, in one system
// call, if nobody is writing and the socket takes it; otherwise it is gathered
// with others, and a goroutine of the session's sends them together. There is
// one only while something waits.
//
// Small frames overtake large ones of other streams, never of their own. Large
// ones go in the order in which they came, and as a stream has few of them
// waiting, streams take turns.
type sender struct {
	conn   Conn
	socket *socket // what conn is, if it is one
	spawn  func()  // has another goroutine call turn, and end the session with its error

	mu       sync.Mutex // guards what follows
	idle     sync.Cond  // told when nothing waits to be sent any more
	writing  bool       // somebody is in a write
	busy     bool       // somebody has the turn to write, and with it
	now      batch      // what is being written
	urgent   []byte     // headers that concern no order: pings, windows
	pongs    int        // answers to pings in urgent
	headers  []byte     // in order, where they did not fit into gather
	gather   *[gatherSize]byte
	gathered int // bytes in gather
	large    []*frame
	roomless []*Stream // found no room in gather
	finished bool      // all is sent that will be
	err      error
}

// newSender gives a sender that calls spawn only before end has been called.
func newSender(conn Conn, spawn func()) *sender {
	o := &sender{conn: conn, socket: socketOf(conn), spawn: spawn}
	o.idle.L = &o.mu
	return o
}

// control queues a header ahead of all data. A ping's answer is dropped if too
// many wait.
func (o *sender) control(h header) {
	o.mu.Lock()
	defer o.mu.Unlock()
	pong := h.kind == typePing && h.flags&flagACK != 0
	switch {
	case o.err != nil || o.finished || pong && o.pongs == maxPongs:
		return
	case len(o.urgent) > maxPending:
		o.breakLocked(errNotReading)
		return
	case pong:
		o.pongs++
	}
	o.urgent = h.appendTo(o.urgent)
	o.kickLocked()
}

// ordered queues a header behind all that its stream has sent, unless the sending
// is finished. It fails if the session has ended, as it does when so many wait that
// the peer cannot be reading.
func (o *sender) ordered(st *Stream, h header) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.queueLocked(st, h)
	if err == nil {
		o.kickLocked()
	}
	return err
}

// queue is ordered, but sends nothing before the next flush.
func (o *sender) queue(st *Stream, h header) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queueLocked(st, h)
}

func (o *sender) queueLocked(st *Stream, h header) error {
	switch {
	case o.err != nil || o.finished:
		return o.err
	case len(o.urgent)+len(o.headers) > maxPending:
		o.breakLocked(errNotReading)
		return o.err
	case st != nil && st.large > 0:
		o.pushLocked(&frame{stream: st, header: h.appendTo(nil)})
	case len(o.headers) > 0 || o.roomLocked() < headerSize:
		o.headers = h.appendTo(o.headers)
	default:
		o.gathered = len(h.appendTo(o.gatherLocked()))
	}
	return nil
}

// data sends a data frame. It returns a frame if the payload has not been
// taken: the writer then waits until it is sent.
func (o *sender) data(st *Stream, payload []byte) (*frame, error) {
	h := header{typeData, 0, st.id, uint32(len(payload))}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.overLocked(); err != nil {
		return nil, err
	}
	var f *frame
	if !o.copyLocked(st, h, payload) {
		f = &frame{stream: st, header: h.appendTo(nil), payload: payload}
		o.pushLocked(f)
	}
	o.kickLocked()
	return f, nil
}

// dataNow sends a data frame whose payload it copies, or gives false if it cannot.
func (o *sender) dataNow(st *Stream, payload []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.overLocked() != nil || !o.copyLocked(st, header{typeData, 0, st.id, uint32(len(payload))}, payload) {
		return false
	}
	o.kickLocked()
	return true
}

// copyLocked gathers a frame, if it is small and there is room.
func (o *sender) copyLocked(st *Stream, h header, payload []byte) bool {
	fits := len(payload) <= smallFrame && st.large == 0 && o.roomLocked() >= headerSize+len(payload)
	if fits {
		o.gathered = len(append(h.appendTo(o.gatherLocked()), payload...))
	}
	return fits
}

// piped queues a data frame whose payload is in p, which is taken over.
func (o *sender) piped(st *Stream, p *splice.Pipe) error {
	h := header{typeData, 0, st.id, uint32(p.Len())}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.overLocked(); err != nil {
		p.GiveBack()
		return err
	}
	o.pushLocked(&frame{stream: st, header: h.appendTo(nil), pipe: p})
	o.kickLocked()
	return nil
}

// gatherFrom has read put payload, up to limit bytes, right where it is
// gathered, and makes a frame of it that is sent by the next flush. If there is
// no room it gives EAGAIN, and st is told when there is.
func (o *sender) gatherFrom(st *Stream, limit int, read func([]byte) (int, error)) (n, asked int, roomErr, readErr error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.overLocked(); err != nil {
		return 0, 0, err, nil
	}
	asked = min(limit, o.roomLocked()-headerSize)
	if asked < min(limit, smallFrame) || st.large > 0 {
		if st.large == 0 {
			o.roomless = append(o.roomless, st)
		}
		o.kickLocked()
		return 0, 0, syscall.EAGAIN, nil
	}
	b := o.gatherLocked()
	start := len(b)
	n, readErr = read(b[start+headerSize : start+headerSize+asked])
	switch {
	case n > 0:
		header{typeData, 0, st.id, uint32(n)}.appendTo(b)
		o.gathered = start + headerSize + n
	case start == 0:
		gathers.Put(o.gather)
		o.gather = nil
	}
	return n, asked, nil, readErr
}

// flush sends what was gathered.
func (o *sender) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kickLocked()
}

// roomLocked is how many bytes may still be gathered. Nothing may overtake
// headers that did not fit.
func (o *sender) roomLocked() int {
	if len(o.headers) > 0 {
		return 0
	}
	return gatherSize - o.gathered
}

// gatherLocked gives what was gathered, to append to.
func (o *sender) gatherLocked() []byte {
	if o.gather == nil {
		o.gather = gathers.Get().(*[gatherSize]byte)
	}
	return o.gather[:o.gathered]
}

func (o *sender) gatheredLocked() []byte {
	if o.gather == nil {
		return nil
	}
	return o.gather[:o.gathered]
}

func (o *sender) pushLocked(f *frame) {
	f.stream.large++
	o.large = append(o.large, f)
}

// cancel calls a frame back whose payload is in memory. Unsent says that none of
// it is sent. Otherwise, if released, what is left of it has been copied, so that
// its writer need not wait while the connection takes nothing.
func (o *sender) cancel(f *frame) (unsent, released bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, queued := range o.large {
		if queued == f {
			o.large = append(o.large[:i], o.large[i+1:]...)
			f.stream.large--
			return true, true
		}
	}
	for o.socket != nil && o.writing && o.now.frame == f {
		o.idle.Wait() // which is short: no write to a socket waits
	}
	if o.socket == nil || o.now.frame != f {
		return false, false
	}
	o.now.own()
	return false, true
}

// errFinished is of data that is written while the session is being finished.
var errFinished = sessionError(net.ErrClosed)

// overLocked says why no data is sent any more.
func (o *sender) overLocked() error {
	if o.err == nil && o.finished {
		return errFinished
	}
	return o.err
}

// breakLocked ends the sending for the given reason, and then the session.
func (o *sender) breakLocked(err error) {
	o.failLocked(err)
	o.spawn()
}

// failLocked ends the sending for the given reason.
func (o *sender) failLocked(err error) {
	o.err = sessionError(err)
	_ = guarded(func() error {
		return o.conn.SetWriteDeadline(time.Unix(1, 0)) // long past: whoever waits in a write comes out
	})
	o.idle.Broadcast()
}

// fail ends the sending, and then the session.
func (o *sender) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.breakLocked(err)
	}
}

// end ends the sending of a session that ends.
func (o *sender) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.failLocked(err)
	}
}
