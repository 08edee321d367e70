package protocoltest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
)

// HostileRelay is a relay in memory that sends what a fuzzer has made up, whatever the
// relay client asks.
type HostileRelay struct {
	// First is sent on the first connection, and Others on each of the others.
	First, Others []byte
	// Segment is how many bytes are sent at a time. Zero means all.
	Segment int
	// Ends selects how connections end then: by FIN, by being closed, by a reset, or
	// not at all.
	Ends uint8
	// MostDials is how many connections are taken.
	MostDials int

	conns sync.WaitGroup // that the relay client has not closed

	mu    sync.Mutex // guards what follows
	dials int
	heard []string // the first two lines of each of the other connections
}

var errGone = errors.New("the relay is gone")

// maxHeard is more than any request of a client of today.
const maxHeard = 256

// Dial is how relay clients connect.
func (h *HostileRelay) Dial(context.Context) (conn.Conn, error) {
	h.mu.Lock()
	first, refused := h.dials == 0, h.dials == h.MostDials
	if !refused {
		h.dials++
	}
	h.mu.Unlock()
	if refused {
		return nil, errGone
	}
	near, far := conntest.Memory()
	h.conns.Go(func() {
		said := h.First
		if !first {
			said = h.Others
			h.hear(far) // or what it sends could overtake the claim
		}
		h.conns.Go(func() { h.say(far, said) })
		_, _ = io.Copy(io.Discard, far) // until the relay client closes it
	})
	return near, nil
}

// hear reads the two lines of a claim.
func (h *HostileRelay) hear(far *conntest.MemoryConn) {
	lines := bufio.NewReader(io.LimitReader(far, maxHeard))
	first, _ := lines.ReadString('\n')
	second, _ := lines.ReadString('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, first+second)
}

// say sends as much as the relay client takes.
func (h *HostileRelay) say(far *conntest.MemoryConn, said []byte) {
	for len(said) > 0 {
		size := len(said)
		if h.Segment > 0 {
			size = min(size, h.Segment)
		}
		n, err := far.Write(said[:size])
		if err != nil {
			break
		}
		said = said[n:]
	}
	switch h.Ends % 4 {
	case 0:
		_ = far.CloseWrite()
	case 1:
		_ = far.Close()
	case 2:
		_ = far.Reset()
	}
}

// Resets reports whether connections end by a reset.
func (h *HostileRelay) Resets() bool { return h.Ends%4 == 2 }

// Wait waits until the relay client has let go of every connection, and gives
// what it has sent on each but the first.
func (h *HostileRelay) Wait() (heard []string) {
	h.conns.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heard
}
