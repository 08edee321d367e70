package yamux

import (
	"errors"
	"net"
	"sync"
)

const (
	// maxFrame is the most payload that a frame carries: enough that headers
	// cost nothing, little enough that other streams' turns come soon.
	maxFrame = 64 << 10
	// Payload up to smallFrame is copied, so that its writer need not wait,
	// until maxCopied bytes wait to be sent.
	smallFrame = 4 << 10
	maxCopied  = 64 << 10
	// maxBatch is the most payload of large frames in one write.
	maxBatch = 256 << 10
	// maxPending bounds the headers that wait for a peer that sends and does
	// not read.
	maxPending = 1 << 20
	// maxPongs is how many answers to pings may wait; who pings faster than he
	// reads gets no more.
	maxPongs = 32
)

var errNotReading = errors.New("the peer sends, but does not read")

// sender writes frames. Whoever has a frame writes it himself, in one system
// call, if nobody is writing; otherwise it is gathered with others, and the
// session's writing goroutine sends them together.
type sender struct {
	conn net.Conn
	wake chan struct{} // has room for one; hands the turn to run

	mu      sync.Mutex // guards what follows
	idle    sync.Cond  // told when nothing waits to be sent any more
	busy    bool       // somebody has the turn to write
	urgent  []byte     // headers that concern no order: pings, windows
	pongs   int        // answers to pings in urgent
	inOrder []byte     // headers and copied payload, in the order of each stream
	large   []*largeFrame
	spare   [2][]byte // for urgent and inOrder while theirs are being written
	err     error
}

// largeFrame is a frame whose payload stays with its writer until it is sent.
type largeFrame struct {
	stream  *Stream
	header  []byte
	payload []byte
	started bool // guarded by sender.mu: it cannot be called back any more
	sent    bool // guarded by Stream.mu, as is
	err     error
}

func newSender(conn net.Conn) *sender {
	o := &sender{conn: conn, wake: make(chan struct{}, 1)}
	o.idle.L = &o.mu
	return o
}

// control sends a header ahead of all data, without waiting for it. A ping's
// answer is dropped if too many wait.
func (o *sender) control(h header) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h.kind == typePing && h.flags&flagACK != 0 {
		if o.pongs == maxPongs {
			return
		}
		o.pongs++
	}
	o.urgent = h.appendTo(o.urgent)
	o.passTurnLocked()
}

// queue sends a header in order, without waiting for it.
func (o *sender) queue(h header) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.inOrder)+len(o.urgent) > maxPending {
		return errNotReading
	}
	o.inOrder = h.appendTo(o.inOrder)
	o.passTurnLocked()
	return nil
}

// window sends a window update ahead of all data.
func (o *sender) window(h header) {
	o.mu.Lock()
	o.urgent = h.appendTo(o.urgent)
	o.takeTurnAndUnlock()
}

// ordered sends a header in order.
func (o *sender) ordered(h header) error {
	o.mu.Lock()
	if o.err != nil {
		defer o.mu.Unlock()
		return o.err
	}
	o.inOrder = h.appendTo(o.inOrder)
	o.takeTurnAndUnlock()
	return nil
}

// data sends a data frame. It returns a frame if the payload has not been
// taken: the writer then waits until it is sent.
func (o *sender) data(st *Stream, payload []byte) (*largeFrame, error) {
	h := header{typeData, 0, st.id, uint32(len(payload))}
	o.mu.Lock()
	if o.err != nil {
		defer o.mu.Unlock()
		return nil, o.err
	}
	var f *largeFrame
	if len(payload) <= smallFrame && len(o.inOrder) < maxCopied {
		o.inOrder = append(h.appendTo(o.inOrder), payload...)
	} else {
		f = &largeFrame{stream: st, header: h.appendTo(nil), payload: payload}
		o.large = append(o.large, f)
	}
	o.takeTurnAndUnlock()
	return f, nil
}

// cancel calls a frame back that has not been started. It tells whether it
// could.
func (o *sender) cancel(f *largeFrame) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, queued := range o.large {
		if queued == f && !f.started {
			o.large = append(o.large[:i], o.large[i+1:]...)
			return true
		}
	}
	return false
}

// takeTurnAndUnlock writes what waits, if nobody is writing, and leaves to run
// what has come meanwhile.
func (o *sender) takeTurnAndUnlock() {
	if o.busy || o.err != nil {
		o.mu.Unlock()
		return
	}
	o.busy = true
	o.writeLocked()
	o.busy = false
	o.passTurnLocked()
	o.mu.Unlock()
}

// passTurnLocked has run write what waits, if nobody is writing and something
// waits.
func (o *sender) passTurnLocked() {
	if o.busy || o.err != nil {
		return
	}
	if !o.pendingLocked() {
		o.idle.Broadcast()
		return
	}
	o.busy = true
	o.wake <- struct{}{} // has room: only who has the turn sends
}

func (o *sender) pendingLocked() bool {
	return len(o.urgent)+len(o.inOrder)+len(o.large) > 0
}

// run writes what was left to it, until the session ends. It returns the error
// that a write ended with.
func (o *sender) run() error {
	for range o.wake {
		o.mu.Lock()
		for o.err == nil && o.pendingLocked() {
			o.writeLocked()
		}
		o.busy = false
		o.idle.Broadcast()
		err := o.err
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// writeLocked writes one batch of what waits. The lock is released meanwhile.
func (o *sender) writeLocked() {
	urgent, inOrder := o.urgent, o.inOrder
	o.urgent, o.inOrder = o.spare[0][:0], o.spare[1][:0]
	o.pongs = 0
	large := o.takeLargeLocked()
	o.mu.Unlock()

	var vectors net.Buffers
	for _, b := range [][]byte{urgent, inOrder} {
		if len(b) > 0 {
			vectors = append(vectors, b)
		}
	}
	for _, f := range large {
		vectors = append(vectors, f.header, f.payload)
	}
	_, err := vectors.WriteTo(o.conn)
	for _, f := range large {
		f.stream.frameSent(f, err)
	}

	o.mu.Lock()
	o.spare = [2][]byte{reusable(urgent), reusable(inOrder)}
	if err != nil && o.err == nil {
		o.failLocked(err)
	}
}

// takeLargeLocked takes large frames in their order, up to maxBatch.
func (o *sender) takeLargeLocked() []*largeFrame {
	n, size := 0, 0
	for n < len(o.large) && size < maxBatch {
		size += len(o.large[n].payload)
		o.large[n].started = true
		n++
	}
	taken := o.large[:n:n]
	o.large = o.large[n:]
	return taken
}

// reusable keeps buffers of ordinary size.
func reusable(b []byte) []byte {
	if cap(b) > 2*maxCopied {
		return nil
	}
	return b
}

// drain waits until all is sent that waits to be sent.
func (o *sender) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && (o.busy || o.pendingLocked()) {
		o.idle.Wait()
	}
}

// failLocked ends the sending for the given reason, and tells run.
func (o *sender) failLocked(err error) {
	o.err = sessionError(err)
	o.idle.Broadcast()
	select {
	case o.wake <- struct{}{}:
	default: // it is about to look by itself
	}
}

// end ends the sending.
func (o *sender) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.failLocked(err)
	}
}
