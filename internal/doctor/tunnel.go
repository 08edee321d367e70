package doctor

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// tunnel is a public port that this process serves, and of which it is the user, too. A user
// says first which visit it is, so that the bytes of strangers are in no result.
type tunnel struct {
	listener net.Listener
	public   string // where users connect
	wait     time.Duration
	serving  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	visits map[visitID]*visit
	conns  map[net.Conn]struct{} // that are served
	ended  bool
}

// visitID is random: nobody else knows it.
type visitID [16]byte

// What a visit is for, by the byte behind its id.
const (
	modePing   = 'p' // each byte is sent back
	modeBytes  = 'b' // both ends send, and end, one direction after the other
	modeReset  = 'r' // the serving side resets, when a byte has come
	modeLeaves = 'u' // the user resets
)

const (
	// maxServed bounds the connections that are served at a time: the doctor's own are
	// fewer, and the others are strangers.
	maxServed = 64
	greeting  = 'k'
)

// errOther is why a visit is none of ours.
var errOther = errors.New("something else answers")

func newTunnel(l net.Listener, public string, wait time.Duration) *tunnel {
	t := &tunnel{listener: l, public: public, wait: wait, visits: make(map[visitID]*visit), conns: make(map[net.Conn]struct{})}
	t.serving.Go(t.accept)
	return t
}

// close gives the port back, and waits for all that was served.
func (t *tunnel) close() {
	_ = t.listener.Close()
	t.mu.Lock()
	t.ended = true
	for c := range t.conns {
		_ = c.SetDeadline(time.Unix(1, 0))
	}
	t.mu.Unlock()
	t.serving.Wait()
}

func (t *tunnel) accept() {
	for {
		c, err := t.listener.Accept()
		if err != nil {
			return // closed
		}
		if !t.track(c) {
			reset(c)
			continue
		}
		t.serving.Go(func() {
			defer t.untrack(c)
			t.serve(c)
		})
	}
}

func (t *tunnel) track(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || len(t.conns) == maxServed {
		return false
	}
	t.conns[c] = struct{}{}
	return true
}

func (t *tunnel) untrack(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	_ = c.Close() // for the second time, mostly
}

// serve serves a visit, and resets anybody else.
func (t *tunnel) serve(c net.Conn) {
	var hello [len(visitID{}) + 1]byte
	stop := time.AfterFunc(t.wait, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	_, err := io.ReadFull(c, hello[:])
	v := t.find(visitID(hello[:len(visitID{})]))
	if err != nil || v == nil || !stop.Stop() {
		reset(c)
		return
	}
	v.from.Store(new(c.RemoteAddr()))
	if _, err := c.Write([]byte{greeting}); err != nil {
		v.served <- err
		reset(c)
		return
	}
	switch hello[len(visitID{})] {
	case modePing:
		_, err = io.Copy(c, c)
	case modeBytes:
		err = v.exchange(c)
	case modeReset:
		// A reset overtakes what is on its way: the greeting has to have arrived.
		_, err = io.ReadFull(c, hello[:1])
		reset(c)
	case modeLeaves:
		_, err = io.Copy(io.Discard, c)
	}
	v.served <- err
	if err != nil {
		reset(c)
	}
}

func (t *tunnel) find(id visitID) *visit {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.visits[id]
}

func reset(c net.Conn) {
	if r, ok := c.(conn.Conn); ok {
		_ = r.Reset()
		return
	}
	_ = c.Close()
}
