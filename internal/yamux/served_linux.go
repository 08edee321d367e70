package yamux

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
)

// turn is about how much is read before other sockets of an event loop have their turn: a
// pipe of full size.
const turn = 256 << 10

// served is a session whose socket an event loop watches. What has come is delivered on
// the loop's goroutine, and so goes on to sockets of the same loop without a wake-up.
type served struct {
	session  *Session
	receiver *receiver
	failed   chan error // holds the reason to end; the reader waits for it

	mu       sync.Mutex // guards what follows, and the receiver
	ended    bool
	readable bool // there may be something to read
	odd      bool // a short read does not mean that there is no more
}

// ServeOn has loop read and write the session's connection from now on, if that is a socket
// and no loop does so yet. The loop must not be closed before the session.
func (st *Stream) ServeOn(loop *eventloop.Loop) {
	s := st.session
	socket := s.out.socket
	if socket != nil && socket.conn != nil && socket.next.CompareAndSwap(nil, loop) {
		s.setReadDeadline(time.Unix(1, 0)) // long past: the reader stops waiting
	}
}

func (s *Session) setReadDeadline(t time.Time) {
	_ = catchPanic(func() error { return s.conn.SetReadDeadline(t) }) // fails only when closed
}

// serve has the next loop do the work of the reader, which calls it, and returns when the
// reader has to end, with the reason. It returns false if that cannot be done.
func (s *socket) serve(r *receiver) (served bool, err error) {
	loop := s.next.Load()
	if loop == nil {
		return false, nil
	}
	h := newServed(r)
	if r.session.out.unwatch(func() { loop.Post(h) }) != nil { // descriptors are short
		r.session.setReadDeadline(time.Time{})
		s.next.Store(nil) // the next stream may try again
		return false, nil
	}
	var watch eventloop.Registration
	if closed := s.control(func(fd uintptr) { watch, err = loop.Add(int(fd), h) }); closed != nil {
		err = closed
	}
	if err != nil {
		return true, err
	}
	defer loop.Forget(watch)
	return true, r.explain(h.wait())
}

// unwatch takes the socket from the runtime's poller. From then on a loop writes what
// could not be written at once: it calls resume and, after askTurn, takeTurn.
func (o *sender) unwatch(askTurn func()) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writing {
		o.idle.Wait() // this is short: no write to a socket blocks
	}
	err := o.socket.unwatch()
	if err == nil {
		o.askTurn = askTurn
	}
	return err
}

func newServed(r *receiver) *served {
	return &served{session: r.session, receiver: r, failed: make(chan error, 1)}
}

// wait returns the reason to end. After it the receiver is the reader's again.
func (h *served) wait() (err error) {
	select {
	case err = <-h.failed:
	case <-h.session.done:
		err = h.session.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	return err
}

// Ready is called by the loop.
func (h *served) Ready(events eventloop.Events) (again bool) {
	if events == eventloop.Posted {
		h.session.out.takeTurn()
		return false
	}
	if events&(eventloop.Writable|eventloop.Dead) != 0 {
		h.session.out.resume()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	if events&(eventloop.Readable|eventloop.PeerEnded|eventloop.Dead) != 0 {
		h.readable = true
	}
	if events&(eventloop.Urgent|eventloop.PeerEnded|eventloop.Dead) != 0 {
		h.odd = true
	}
	if err := catchPanic(h.readTurn); err != nil {
		h.ended = true
		h.failed <- err
	}
	return h.readable && !h.ended
}

// readTurn reads what has come, up to a turn.
func (h *served) readTurn() error {
	for moved := 0; h.readable && moved < turn; {
		n, err := h.step()
		if err != nil {
			return err
		}
		moved += n
	}
	h.receiver.releaseBuffer()
	return nil
}

// step reads once and handles what has come.
func (h *served) step() (n int, err error) {
	r := h.receiver
	if r.wantsPipe() {
		p, err := r.socket.tryFillPipe(r.payloadLeft)
		switch {
		case p != nil:
			n := p.Len()
			return n, r.pipeReceived(p)
		case errors.Is(err, unix.EAGAIN) && !h.odd: // or a read gets past what is odd
			h.readable = false
			return 0, nil
		}
	}
	b := r.buffer()
	n, err = r.socket.tryRead(b)
	if n < len(b) && !h.odd || errors.Is(err, unix.EAGAIN) {
		h.readable = false
	}
	switch {
	case n > 0:
		return n, r.bytesReceived(n)
	case errors.Is(err, unix.EAGAIN):
		return 0, nil
	}
	return 0, err
}
