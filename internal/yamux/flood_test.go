package yamux_test

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// A peer that sends pings and does not read has 32 answers wait for it, besides those
// that are being written. It gets answers again once it reads.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memoryPair()
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		ping := func(value uint32) frame { return frame{typePing, flagSYN, 0, value, ""} }
		pong := func(value uint32) frame { return frame{typePing, flagACK, 0, value, ""} }
		peer.send(ping(0))
		synctest.Wait()              // its answer is being written
		for i := range uint32(900) { // of the 1000 that are tolerated
			peer.send(ping(1 + i))
		}
		synctest.Wait()
		if n := sessionGoroutines(); n != 2 {
			t.Errorf("the session has %d goroutines, want 2", n)
		}
		for i := range uint32(1 + 32) {
			peer.want(pong(i))
		}
		synctest.Wait()
		peer.wantNothing()
		if session.Err() != nil {
			t.Errorf("the session has ended: %v", session.Err())
		}
	})
}

// Frames that must be answered cannot be dropped. So a peer that does not read the
// answers loses its session before they need much memory.
func TestFloodWithoutReading(t *testing.T) {
	for name, f := range map[string]frame{
		"data of no stream": data(9, 0, ""),
		"streams not taken": update(9, flagSYN, 0),
	} {
		t.Run(name, func(t *testing.T) {
			var counters yamux.Counters
			near, far := memoryPair()
			session, peer := newPeerOn(t, yamux.Server(near, yamux.Config{
				Accept: true, MaxStreams: 1,
				ControlBurst: 1 << 20, // not under test here
				Counters:     &counters,
			}), far)
			peer.accept(session, 1) // the only one that is accepted
			before := allocated()
			frames := bytes.Repeat(f.bytes(), 1000)
			for range 200 {
				if _, err := far.Write(frames); err != nil {
					break
				}
			}
			wait(t, session.Done(), "the end of the session")
			wantSessionErr(t, "Err", session.Err())
			if n := counters.Flooded.Load(); n != 1 {
				t.Errorf("%d floods were counted, want 1", n)
			}
			if used := allocated() - before; used > 16<<20 {
				t.Errorf("%d MiB were allocated", used>>20)
			}
		})
	}
}

// The same holds for a peer that has our streams wait: the session ends, though the
// write to that peer never does.
func TestStreamsWithoutReading(t *testing.T) {
	for name, pair := range map[string]func() (near, far resettableConn){
		"TCP": func() (near, far resettableConn) {
			a, b := tcpPair(t)
			check(t, a.SetWriteBuffer(4<<10))
			check(t, b.SetReadBuffer(4<<10))
			return a, b
		},
		"memory": func() (near, far resettableConn) { return memoryPair() },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := pair()
			session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
			writer := peer.open(session, 1)
			writing := async(func() error { _, err := writer.Write(make([]byte, window)); return err })
			_, err := io.ReadFull(far, make([]byte, 12)) // so that the rest is being written
			check(t, err)
			for streams := 0; err == nil && streams < 1_000_000; streams++ {
				var st *yamux.Stream
				if st, err = session.Open(t.Context()); err == nil {
					check(t, st.Reset())
				}
			}
			wantSessionErr(t, "Open", err)
			wait(t, session.Done(), "the end of the session")
			wantSessionErr(t, "Write", wait(t, writing, "the end of Write"))
		})
	}
}

// A stream costs no goroutine, whatever it does.
func TestStreamsHaveNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := memorySessions(t)
		for i := range 64 {
			a, b := open(t, client, server)
			switch i % 4 {
			case 0:
				conntest.Write(t, a, make([]byte, window))
			case 1:
				check(t, b.CloseWrite())
			case 2:
				check(t, a.Close())
			case 3:
				check(t, b.Reset())
			}
		}
		synctest.Wait()
		if n := sessionGoroutines(); n != 2 {
			t.Errorf("two sessions have %d goroutines, want 2", n)
		}
		client.Close()
		server.Close()
		if n := sessionGoroutines(); n != 0 {
			t.Errorf("%d goroutines are left", n)
		}
	})
}

// Idle streams hold little memory.
func TestIdleStreamsAreSmall(t *testing.T) {
	const count, most = 1000, 4 << 10
	client, server := sessions(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range count {
		a, b := open(t, client, server)
		for _, st := range []*yamux.Stream{a, b} {
			check(t, st.SetDeadline(time.Time{}))
		}
		conntest.Write(t, a, "x")
		conntest.WantRead(t, b, "x")
	}
	runtime.GC()
	runtime.GC() // the second one frees the pools
	runtime.ReadMemStats(&after)
	if size := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / (2 * count); size > most {
		t.Errorf("a stream holds %d bytes, want at most %d", size, most)
	}
	runtime.KeepAlive(client)
	runtime.KeepAlive(server)
}

// A session that has ended holds little, though its unsent data is lost and somebody
// still has a stream of it.
func TestDeadSessionsAreSmall(t *testing.T) {
	const count, most = 200, 32 << 10
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var kept []*yamux.Stream
	for range count {
		near, far := memoryPair()
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		st := peer.open(session, 1)
		for range 2 { // one waits for the other
			conntest.Write(t, st, "nobody reads this")
		}
		session.Close()
		check(t, far.Close())
		kept = append(kept, st)
	}
	runtime.GC()
	runtime.GC() // the second one frees the pools
	runtime.ReadMemStats(&after)
	if size := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / count; size > most {
		t.Errorf("a session holds %d bytes, want at most %d", size, most)
	}
	runtime.KeepAlive(kept)
}

// A declared length alone allocates nothing.
func TestDeclaredLengthAllocatesNothing(t *testing.T) {
	huge := func(stream uint32) []byte {
		return frame{kind: typeData, stream: stream, length: 1<<32 - 1}.bytes()
	}
	for name, stream := range map[string]uint32{"of a stream": 1, "of no stream": 9} {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Server, accepting)
			st := peer.accept(session, 1)
			peer.send(data(1, 0, "before"))
			conntest.WantRead(t, st, "before")
			part := make([]byte, 64<<10)
			before := allocated()
			peer.sendBytes(append(huge(stream), "x"...))
			if stream == 1 {
				wait(t, session.Done(), "the end of the session")
				wantReadErr(t, st, yamux.ErrSessionEnded)
			} else {
				// All of it would be read and discarded. Some of it is.
				for range 64 {
					peer.sendBytes(part)
				}
				conntest.Write(t, st, "the session lives")
				peer.want(data(1, 0, "the session lives"))
			}
			if used := allocated() - before; used > poolsLose<<20 {
				t.Errorf("%d KiB were allocated", used>>10)
			}
		})
	}
}

// allocated returns how many bytes have ever been allocated.
func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

// sessionGoroutines counts the goroutines that sessions have started in the caller's
// bubble. Elsewhere timers of earlier tests may run.
func sessionGoroutines() (n int) {
	b := make([]byte, 1<<20)
	all := string(b[:runtime.Stack(b, true)])
	caller, _, _ := strings.Cut(all, "\n")
	bubble := caller[strings.Index(caller, "synctest bubble"):] // with the bracket behind it
	for stack := range strings.SplitSeq(all, "\n\n") {
		if strings.Contains(stack, bubble) && strings.Contains(stack, "internal/yamux.(") &&
			!strings.Contains(stack, "internal/yamux_test.") {
			n++
		}
	}
	return n
}
