package yamux_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed96252745/relay/internal/yamux"
)

// Two sessions take random steps on up to eight streams, and each step is compared with
// what TCP connections would do. Between steps everything comes to rest, so that the
// outcome of each is certain.
func TestStateMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			near, far := memoryPair()
			walk(rt, near, far)
		})
	})
}

// walk has two sessions on a connection in memory take the steps that rt chooses.
func walk(rt *rapid.T, near, far yamux.Conn) {
	m := &machine{sides: [2]*yamux.Session{yamux.Client(near, accepting), yamux.Server(far, accepting)}}
	defer m.close(rt)
	m.open(rt) // so that every step has a stream, and none is skipped
	rt.Repeat(map[string]func(*rapid.T){
		"":           func(rt *rapid.T) { synctest.Wait() },
		"open":       m.open,
		"write":      m.write,
		"read":       m.read,
		"CloseWrite": m.closeWrite,
		"Close":      m.closeStream,
		"Reset":      m.reset,
	})
}

type machine struct {
	sides   [2]*yamux.Session
	streams [][2]*half
}

// half is one end of a stream, and what the model knows of it.
type half struct {
	*yamux.Stream
	peer *half
	seed byte // of what this end writes

	written, read int
	fin           bool  // sent from this end
	closed        bool  // this end, by Close or Reset
	err           error // of every later call
	over          bool  // the stream has ended, at both ends
	ends          counter
}

func (m *machine) open(rt *rapid.T) {
	if len(m.streams) == 8 {
		return // eight are enough
	}
	from := rapid.IntRange(0, 1).Draw(rt, "from")
	opened, err := m.sides[from].Open(rt.Context())
	must(rt, err)
	accepted, err := m.sides[1-from].Accept(background)
	must(rt, err)
	n := byte(2 * len(m.streams))
	a, b := &half{Stream: opened, seed: n}, &half{Stream: accepted, seed: n + 1}
	a.peer, b.peer = b, a
	a.OnEnd(a.ends.add)
	b.OnEnd(b.ends.add)
	m.streams = append(m.streams, [2]*half{a, b})
}

// pick chooses one end of one stream.
func (m *machine) pick(rt *rapid.T) *half {
	stream := rapid.IntRange(0, len(m.streams)-1).Draw(rt, "stream")
	return m.streams[stream][rapid.IntRange(0, 1).Draw(rt, "end")]
}

func (m *machine) write(rt *rapid.T) {
	h := m.pick(rt)
	size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 2*window)).Draw(rt, "bytes")
	must(rt, ignoreClosed(h, h.SetWriteDeadline(time.Now().Add(time.Millisecond))))
	n, err := h.Write(pattern(h.seed, h.written, size))
	unread := h.written - h.peer.read
	h.written += n
	switch want := h.writeErr(); {
	case want != nil:
		expect(rt, "writing", err, want)
		if n != 0 {
			rt.Fatalf("%d bytes were written, and %v", n, err)
		}
	case h.peer.closed:
		// The first bytes are sent, and the peer refuses them.
		if size > 0 {
			h.gone(yamux.ErrReset)
		}
	case err == nil && n == size && unread+n <= window:
	case errors.Is(err, os.ErrDeadlineExceeded) && n < size && unread+n <= window && unread+n >= window/2:
		// Less than half of the window may be read and not yet returned by an update.
	default:
		rt.Fatalf("wrote %d of %d, with %d unread: %v", n, size, unread, err)
	}
}

func (m *machine) read(rt *rapid.T) {
	h := m.pick(rt)
	b := make([]byte, rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, 2*window)).Draw(rt, "bytes"))
	must(rt, ignoreClosed(h, h.SetReadDeadline(time.Now().Add(time.Millisecond))))
	n, err := h.Read(b)
	unread := h.peer.written - h.read
	switch {
	case h.closed:
		expect(rt, "reading", err, net.ErrClosed)
	case unread > 0:
		want := pattern(h.peer.seed, h.read, min(unread, len(b)))
		if err != nil || !bytes.Equal(b[:n], want) {
			rt.Fatalf("read %d bytes, %v; want %d of those that were sent", n, err, len(want))
		}
		h.read += n
	case h.peer.fin:
		expect(rt, "reading", err, io.EOF)
	case h.err != nil:
		expect(rt, "reading", err, h.err)
	default:
		expect(rt, "reading", err, os.ErrDeadlineExceeded)
	}
}

func (m *machine) closeWrite(rt *rapid.T) {
	h := m.pick(rt)
	err := h.CloseWrite()
	switch {
	case h.closed:
		expect(rt, "CloseWrite", err, net.ErrClosed)
	case h.err != nil:
		expect(rt, "CloseWrite", err, h.err)
	default:
		expect(rt, "CloseWrite", err, nil)
		h.finish()
	}
}

func (m *machine) closeStream(rt *rapid.T) {
	h := m.pick(rt)
	err := h.Close()
	if h.closed {
		expect(rt, "Close", err, net.ErrClosed)
		return
	}
	expect(rt, "Close", err, nil)
	h.closed = true
	switch unread := h.peer.written - h.read; {
	case h.over:
	case unread > 0:
		h.peer.gone(yamux.ErrReset)
	default:
		h.finish()
	}
}

func (m *machine) reset(rt *rapid.T) {
	h := m.pick(rt)
	err := h.Reset()
	if h.closed {
		expect(rt, "Reset", err, net.ErrClosed)
		return
	}
	expect(rt, "Reset", err, nil)
	h.closed = true
	if !h.over {
		h.peer.gone(yamux.ErrReset)
	}
}

// close ends the session. Each stream must then have ended once, and nothing that had
// arrived may be lost.
func (m *machine) close(rt *rapid.T) {
	synctest.Wait()
	for i, st := range m.streams {
		for _, h := range st {
			if got := h.ends.count(); (got == 1) != h.over || got > 1 {
				rt.Errorf("stream %d: OnEnd was called %d times; has it ended? %v", i, got, h.over)
			}
		}
	}
	m.sides[0].Close()
	m.sides[1].Close()
	for i, st := range m.streams {
		for _, h := range st {
			if err := h.rest(); err != nil {
				rt.Errorf("stream %d: %v", i, err)
			}
			if h.ends.count() != 1 {
				rt.Errorf("stream %d: OnEnd was called %d times in all", i, h.ends.count())
			}
		}
	}
}

// rest reads what is left after the end of the session.
func (h *half) rest() error {
	if h.closed {
		return nil
	}
	if err := h.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	got, err := io.ReadAll(h)
	if !bytes.Equal(got, pattern(h.peer.seed, h.read, h.peer.written-h.read)) {
		return fmt.Errorf("%d bytes are left, want the %d that were sent", len(got), h.peer.written-h.read)
	}
	want := h.err
	switch {
	case h.peer.fin:
		want = nil // io.EOF
	case want == nil:
		want = yamux.ErrSessionEnded
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("behind the last byte: %v, want %v", err, want)
	}
	return nil
}

// writeErr returns the error with which a write fails at once.
func (h *half) writeErr() error {
	switch {
	case h.closed:
		return net.ErrClosed
	case h.err != nil:
		return h.err
	case h.fin:
		return syscall.EPIPE
	}
	return nil
}

// finish records a FIN from this end.
func (h *half) finish() {
	h.fin = true
	if h.peer.fin {
		h.over, h.peer.over = true, true
	}
}

// gone records the end of the stream with an error at this end.
func (h *half) gone(err error) {
	if !h.over {
		h.err, h.over, h.peer.over = err, true, true
	}
}

func ignoreClosed(h *half, err error) error {
	if h.closed && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func must(rt *rapid.T, err error) {
	rt.Helper()
	expect(rt, "this", err, nil)
}

func expect(rt *rapid.T, what string, got, want error) {
	rt.Helper()
	if !errors.Is(got, want) {
		rt.Fatalf("%s returns %v, want %v", what, got, want)
	}
}
