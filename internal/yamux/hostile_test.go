package yamux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

const (
	// flood is how much an attacker sends who does not stop.
	flood = 3 << 19
	// maxAmplification is how many bytes of memory one byte of an attacker may cost:
	// Envoy calls a hundred a vulnerability; it is four.
	maxAmplification = 12 * poolsLose
	// shortAttack is what any attack may cost, however short: a session that has
	// something to read or to write holds a buffer of 64 KiB for each, which an idle
	// one has given back, and as much again is for stacks, and for the test.
	shortAttack = poolsLose * 256 << 10
	// maxGoroutines is how many goroutines an attack may cost at any time.
	maxGoroutines = 10
)

// attack is what a relay client does to the relay's session. The session has opened
// stream 1, stream 3 that has received FIN, stream 5 that has ended, and stream 7 that
// nobody reads.
type attack struct {
	frames []byte // sent again and again, if
	again  bool
	lives  bool // the session goes on
	stuck  bool // in the middle of a frame, so that nothing can follow it
}

var attacks = map[string]attack{
	"pings":                                {frames: encode(frame{typePing, flagSYN, 0, 1, ""}), again: true},
	"answers that nobody asked for":        {frames: encode(frame{typePing, flagACK, 0, 1, ""}), again: true},
	"data of zero length":                  {frames: encode(data(1, 0, "")), again: true},
	"window updates of 0":                  {frames: encode(update(1, 0, 0)), again: true},
	"window updates of 1":                  {frames: encode(update(1, 0, 1)), again: true, lives: true},
	"window overflow":                      {frames: encode(update(1, 0, 1<<31))},
	"window overflow, in steps":            {frames: encode(update(1, 0, 1<<30)), again: true},
	"wrong version":                        {frames: []byte{1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}},
	"wrong type":                           {frames: encode(frame{kind: 4})},
	"wrong flags":                          {frames: encode(update(1, 0xfff0, 0)), again: true},
	"SYN of the relay's next id":           {frames: encode(update(9, flagSYN, 0))},
	"SYN of the relay's stream":            {frames: encode(update(1, flagSYN, 0))},
	"SYN of an ended stream of the relay":  {frames: encode(update(5, flagSYN, 0))},
	"SYNs":                                 {frames: strays(0), again: true},
	"SYNs and data":                        {frames: strays(1000), again: true},
	"data beyond the window":               {frames: encode(data(7, 0, strings.Repeat("x", 1<<10))), again: true},
	"bytes one by one":                     {frames: encode(data(1, 0, "x")), again: true, lives: true},
	"bytes one by one, of an ended stream": {frames: encode(data(5, 0, "x")), again: true, lives: true},
	"bytes one by one, of no stream":       {frames: encode(data(9, 0, "x")), again: true},
	"4 GiB declared":                       {frames: huge(1)},
	"4 GiB declared, of no stream":         {frames: append(huge(9), make([]byte, flood)...), lives: true, stuck: true},
	"RST of streams that never were":       {frames: encode(update(9, flagRST, 0), data(8, flagRST, "")), again: true},
	"FIN of streams that never were":       {frames: encode(update(9, flagFIN, 0), data(8, flagFIN, "")), again: true},
	"ACK of streams that never were":       {frames: encode(update(9, flagACK, 0), update(8, flagACK, 9)), again: true},
	"ACK again":                            {frames: encode(update(1, flagACK, 0)), again: true},
	"FIN again":                            {frames: encode(update(3, flagFIN, 0)), again: true},
	"GO_AWAY 0":                            {frames: encode(frame{kind: typeGoAway}), lives: true},
	"GO_AWAY 0 again":                      {frames: encode(frame{kind: typeGoAway}), again: true},
	"GO_AWAY 1":                            {frames: encode(frame{kind: typeGoAway, length: 1})},
	"GO_AWAY 2":                            {frames: encode(frame{kind: typeGoAway, length: 2})},
	"GO_AWAY 3":                            {frames: encode(frame{kind: typeGoAway, length: 3})},
	"GO_AWAY without a meaning":            {frames: encode(frame{kind: typeGoAway, length: 1<<32 - 1})},
	"half a header":                        {frames: []byte{0, 0, 0, 0, 0, 0}, lives: true, stuck: true},
}

// strays opens many streams, which only the relay may do, each with size bytes of data.
func strays(size int) (b []byte) {
	for id := uint32(2); id < 2000; id += 2 {
		b = append(b, data(id, flagSYN, strings.Repeat("x", size)).bytes()...)
	}
	return b
}

// huge declares a payload that never comes.
func huge(stream uint32) []byte {
	return frame{kind: typeData, stream: stream, length: 1<<32 - 1}.bytes()
}

// bytes returns everything that the attacker sends.
func (a attack) bytes() []byte {
	if !a.again {
		return a.frames
	}
	return bytes.Repeat(a.frames, flood/len(a.frames)+1)
}

// TestHostile tries every attack, from an attacker that reads the answers and from one
// that does not. The session ends, or is as good as before. Other tests show how soon
// it ends, in simulated time: at once, or half a second after the peer has stopped
// reading.
func TestHostile(t *testing.T) {
	for name, a := range attacks {
		t.Run(name+", reading", func(t *testing.T) {
			near, far := tcpPair(t)
			testAttack(t, a, near, far, true)
		})
		t.Run(name+", not reading", func(t *testing.T) {
			near, far := tcpPair(t)
			check(t, near.SetWriteBuffer(64<<10))
			check(t, far.SetReadBuffer(64<<10))
			testAttack(t, a, near, far, false)
		})
	}
}

func testAttack(t *testing.T, a attack, near, far resettableConn, reads bool) {
	check(t, far.SetDeadline(time.Now().Add(5*patience))) // time to send everything, and to measure memory again and again
	session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
	target := openPlainly(t, peer, session, 1)
	openPlainly(t, peer, session, 3)
	peer.send(update(3, flagFIN, 0))
	ended := openPlainly(t, peer, session, 5)
	check(t, ended.Reset())
	peer.want(update(5, flagRST, 0))
	openPlainly(t, peer, session, 7)
	peer.sync()
	received := readAll(target)
	var answered chan struct{}
	if reads {
		answered = make(chan struct{})
		go peer.drain(answered)
	}
	frames := a.bytes()
	memory := watchMemory()
	n := sendSampled(far, frames, memory)
	switch {
	case !a.lives:
		wait(t, session.Done(), "the end of the session")
	case reads && !a.stuck:
		peer.send(frame{typePing, flagSYN, 0, lastPing, ""})
		wait(t, answered, "the answer to a last ping")
	}
	if a.lives {
		conntest.Write(t, target, "still there")
	}
	goroutines, held := memory.stop()
	runtime.KeepAlive(frames)
	if goroutines > maxGoroutines {
		t.Errorf("there were %d goroutines more:\n%s", goroutines, memory.stacks)
	}
	if held > max(shortAttack, maxAmplification*int64(n)) {
		t.Errorf("%d bytes were held, for %d bytes that were sent", held, n)
	}
	t.Logf("sent %d bytes; at most %d KiB and %d goroutines more; %v", n, held>>10, goroutines, session.Err())
	session.Close()
	_ = far.Reset()
	<-received
	if reads && !a.lives {
		<-answered
	}
}

// sendSampled sends as much of b as it can, and samples memory in between.
func sendSampled(to io.Writer, b []byte, memory *memoryWatch) (sent int) {
	for part := range slices.Chunk(b, 64<<10) {
		n, err := to.Write(part)
		memory.sample()
		if sent += n; err != nil {
			break
		}
	}
	return sent
}

// lastPing is the value of an attacker's last ping.
const lastPing = 77

// drain reads what comes, and closes answered at the answer to the last ping, or at the
// end.
func (p peer) drain(answered chan<- struct{}) {
	for tell := sync.OnceFunc(func() { close(answered) }); ; {
		f, err := p.receiveAny()
		if err != nil || f == (frame{typePing, flagACK, 0, lastPing, ""}) {
			tell()
		}
		if err != nil {
			return
		}
	}
}

// openPlainly opens a stream and acknowledges it. It sets no deadlines, which would
// need timers.
func openPlainly(t *testing.T, p peer, s *yamux.Session, id uint32) *yamux.Stream {
	t.Helper()
	st := p.open(s, id)
	check(t, st.SetDeadline(time.Time{}))
	return st
}

// readAll reads to the end, like a fast user.
func readAll(st *yamux.Stream) <-chan error {
	return async(func() error {
		buf := make([]byte, 32<<10)
		for {
			if _, err := st.Read(buf); err != nil {
				return err
			}
		}
	})
}

// A peer that acknowledges nothing has users wait beyond the 256 that have a stream.
func TestNeverAcknowledges(t *testing.T) {
	var counters yamux.Counters
	session, peer := newPeer(t, yamux.Client, yamux.Config{Counters: &counters})
	for id := uint32(1); id < 512; id += 2 {
		st := session.TryOpen()
		if st == nil {
			t.Fatalf("stream %d cannot be opened", id)
		}
		st.Flush()
		peer.want(update(id, flagSYN, 0))
	}
	if st := session.TryOpen(); st != nil {
		t.Error("a stream was opened, though 256 are not acknowledged")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	errGivenUp := errors.New("given up")
	waiting := async(func() error { _, err := session.Open(ctx); return err })
	for counters.Waited.Load() == 0 {
		runtime.Gosched()
	}
	cancel(errGivenUp)
	if err := wait(t, waiting, "Open"); err != errGivenUp {
		t.Errorf("Open returns %v, want %v", err, errGivenUp)
	}
	peer.send(update(511, flagRST, 0)) // is as good as an acknowledgement
	peer.sync()
	if session.TryOpen() == nil {
		t.Error("no stream can be opened, though only 255 are not acknowledged")
	}
	if n := counters.Waited.Load(); n != 1 {
		t.Errorf("%d waits were counted, want 1", n)
	}
}
