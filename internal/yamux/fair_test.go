package yamux_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// While the connection takes nothing, small frames overtake large ones of other
// streams, and answers to pings overtake both.
func TestSmallOvertakesLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memoryPair()
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		var all []*yamux.Stream
		for i := range uint32(10) {
			st := peer.open(session, 2*i+1)
			check(t, st.SetDeadline(time.Time{}))
			all = append(all, st)
		}
		var writing []<-chan error
		say := func(st *yamux.Stream, what string) {
			writing = append(writing, async(func() error { _, err := st.Write([]byte(what)); return err }))
			synctest.Wait()
		}
		large := string(pattern(50, 0, 60_000))
		say(all[0], "first") // is being written, and not read
		say(all[0], large)
		say(all[1], large)
		want := []frame{data(1, 0, "first"), {typePing, flagACK, 0, 0, ""}}
		for i, st := range all[2:] {
			say(st, "small")
			want = append(want, data(uint32(2*i+5), 0, "small"))
		}
		peer.send(frame{typePing, flagSYN, 0, 0, ""})
		synctest.Wait()
		peer.want(append(want, data(1, 0, large), data(3, 0, large))...)
		for _, w := range writing {
			check(t, <-w)
		}
	})
}

// A stream that sends at full speed gets no more than the others, where all wait for
// the connection.
func TestFairShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count, total = 8, 16 << 20
		near, far := wirePair(roundTrip/2, wireRate)
		session, peer := newPeerOn(t, yamux.Server(near, accepting), far)
		var running []<-chan error
		var streams []*yamux.Stream
		for i := range uint32(count) {
			streams = append(streams, peer.accept(session, 2*i+1))
			check(t, streams[i].SetDeadline(time.Time{}))
			peer.send(update(2*i+1, 0, 1<<30))
		}
		peer.sync()
		wantShares(t, peer, count, total, func() {
			for _, st := range streams {
				running = append(running, async(func() error { pump(st); return nil }))
			}
		})
		session.Close()
		for _, r := range running {
			<-r
		}
	})
}

// wantShares has count streams begin to send without end, and expects each to get its
// share of total.
func wantShares(t *testing.T, peer peer, count, total int, begin func()) {
	t.Helper()
	shares, sum := make([]int, count), 0
	begun := make(map[uint32]bool)
	for begin(); sum < total; {
		f, err := peer.receive()
		check(t, err)
		if f.kind != typeData {
			t.Fatalf("got frame %v", f)
		}
		if len(begun) < count || sum < total/8 { // until all have begun
			begun[f.stream] = true
			sum = min(sum+len(f.body), total/8)
			continue
		}
		shares[f.stream/2] += len(f.body)
		sum += len(f.body)
	}
	fair := (total - total/8) / count
	for i, n := range shares {
		if n < fair*3/4 || n > fair*5/4 {
			t.Errorf("stream %d has sent %d bytes, where %d is fair", i, n, fair)
		}
	}
}

// A ping is answered, and a small message comes, while another stream sends all that
// the connection takes.
func TestAnswersWithinBulk(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	bulk, small := peer.accept(session, 1), peer.accept(session, 3)
	peer.send(update(1, 0, 1<<30))
	peer.sync()
	go pump(bulk)
	skipped := func(want frame) (sum int) {
		for {
			f, err := peer.receive()
			check(t, err)
			if f == want {
				return sum
			}
			sum += len(f.body)
		}
	}
	// The content of the sockets is ahead of everything.
	const most = 16 << 20
	for i := range uint32(20) {
		peer.send(frame{typePing, flagSYN, 0, 1 + i, ""})
		if n := skipped(frame{typePing, flagACK, 0, 1 + i, ""}); n > most {
			t.Errorf("a ping was answered after %d bytes", n)
		}
		writing := async(func() error { _, err := small.Write([]byte("small")); return err })
		if n := skipped(data(3, 0, "small")); n > most {
			t.Errorf("a small message came after %d bytes", n)
		}
		check(t, <-writing)
	}
}

// Streams with slow readers do not block the others.
func TestSlowReaders(t *testing.T) {
	client, server := sessions(t)
	for range 4 {
		a, b := openWithoutDeadlines(t, client, server)
		conntest.Write(t, a, make([]byte, window))
		conntest.Write(t, b, make([]byte, window))
	}
	a, b := open(t, client, server)
	said := pattern(51, 0, 8<<20)
	writing := async(func() error { _, err := a.Write(said); return err })
	conntest.WantRead(t, b, said)
	check(t, wait(t, writing, "the end"))
}

// Idle streams take a bounded amount of memory in all, and no goroutines.
func TestTenThousandStreams(t *testing.T) {
	const count, most = 10_000, 1536
	near, far := tcpPair(t)
	config := yamux.Config{Accept: true, MaxStreams: count}
	client, server := yamux.Client(near, config), yamux.Server(far, config)
	t.Cleanup(func() { client.Close(); server.Close() })
	use := func(a, b *yamux.Stream) {
		conntest.Write(t, a, pattern(52, 0, 64))
		conntest.WantRead(t, b, pattern(52, 0, 64))
		conntest.Write(t, b, pattern(53, 0, 64))
		conntest.WantRead(t, a, pattern(53, 0, 64))
	}
	before := restingMemory()
	goroutines := runtime.NumGoroutine()
	for range count {
		a, b := openWithoutDeadlines(t, client, server)
		a.Attach(func() {}, func() {}) // as idle streams are
		b.Attach(func() {}, func() {})
		use(a, b)
	}
	if size := (restingMemory() - before) / (2 * count); size > most {
		t.Errorf("a stream takes %d bytes, want at most %d", size, most)
	}
	n := runtime.NumGoroutine()
	for limit := time.Now().Add(patience); n > goroutines && time.Now().Before(limit); n = runtime.NumGoroutine() {
		runtime.Gosched() // a timer's, or one that is about to end
	}
	if n > goroutines {
		t.Errorf("%d goroutines have become %d", goroutines, n)
	}
	if _, err := client.Open(t.Context()); err != yamux.ErrTooManyStreams {
		t.Errorf("one more stream: %v", err)
	}
}

// restingMemory returns how much memory of the process is not garbage.
func restingMemory() int64 {
	runtime.GC()
	runtime.GC() // the second one frees the pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse + stats.StackInuse)
}
