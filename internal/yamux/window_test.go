package yamux_test

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// A wire that holds 1.25 MB in a round trip.
const (
	roundTrip = 100 * time.Millisecond
	wireRate  = 12_500_000
	// maxWindow is the size that a window grows to.
	maxWindow = 4 << 20
)

// distant returns both ends of a stream over a wire, and the session that reads, which
// has the configuration.
func distant(t *testing.T, config yamux.Config) (from, to *yamux.Stream, reading *yamux.Session) {
	t.Helper()
	near, far := wirePair(roundTrip/2, wireRate)
	config.Accept = true
	client, server := yamux.Client(near, yamux.Config{}), yamux.Server(far, config)
	t.Cleanup(func() { client.Close(); server.Close() })
	from, to = open(t, client, server)
	for _, st := range []*yamux.Stream{from, to} {
		check(t, st.SetDeadline(time.Time{}))
	}
	return from, to, server
}

// pump writes until a write fails.
func pump(st *yamux.Stream) {
	b := make([]byte, 64<<10)
	for {
		if _, err := st.Write(b); err != nil {
			return
		}
	}
}

// readFor reads for a time, and returns how much.
func readFor(t *testing.T, st *yamux.Stream, d time.Duration) (sum int) {
	t.Helper()
	b := make([]byte, 64<<10)
	for start := time.Now(); time.Since(start) < d; {
		n, err := st.Read(b)
		check(t, err)
		sum += n
	}
	return sum
}

// wantWindow expects the reader's window to be want: as much can be sent, less what it
// has read and not yet returned by an update, which is less than half.
func wantWindow(t *testing.T, from, to *yamux.Stream, want int) {
	t.Helper()
	check(t, from.SetWriteDeadline(time.Now())) // the writer stops
	check(t, to.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, _ = io.Copy(io.Discard, to)
	check(t, from.SetDeadline(time.Time{}))
	check(t, to.SetDeadline(time.Time{}))
	if room, err := from.WaitWritable(); err != nil || room <= want/2 || room > want {
		t.Errorf("there is room for %d, %v; want the half of %d at least, and no more than it", room, err, want)
	}
}

// A reader that keeps up gets a window that fills the wire, after a few round trips.
func TestWindowGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to, _ := distant(t, yamux.Config{})
		writing := async(func() error { pump(from); return nil })
		readFor(t, to, 12*roundTrip)
		const period = 2 * time.Second
		sum := readFor(t, to, period)
		if all := int(period.Seconds() * wireRate); sum < all*9/10 {
			t.Errorf("%d bytes came in %v, on a wire that carries %d", sum, period, all)
		}
		wantWindow(t, from, to, maxWindow)
		<-writing
	})
}

// A slow reader gets no larger window: only what was read opens it.
func TestWindowOfSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := wirePair(roundTrip/2, wireRate)
		session, peer := newPeerOn(t, yamux.Server(near, accepting), far)
		st := peer.accept(session, 1)
		check(t, st.SetDeadline(time.Time{}))
		var read atomic.Int64
		reading := async(func() error {
			b := make([]byte, 32<<10)
			for {
				n, err := io.ReadFull(st, b)
				if err != nil {
					return err
				}
				read.Add(int64(n))
				<-time.After(2 * roundTrip)
			}
		})
		defer func() { session.Close(); <-reading }()
		granted, answered := 0, 0
		for sent, start := 0, time.Now(); time.Since(start) < 200*roundTrip; {
			if n := window + granted - sent; n > 0 {
				peer.send(data(1, 0, string(make([]byte, n))))
				sent += n
			}
			f, err := peer.receiveAny()
			check(t, err)
			switch f.kind {
			case typePing:
				answered++
				peer.send(frame{typePing, flagACK, 0, f.length, ""})
			case typeWindow:
				granted += int(f.length)
			}
			if granted > int(read.Load()) {
				t.Fatalf("%d bytes were read, and the window was opened by %d", read.Load(), granted)
			}
		}
		if granted == 0 || answered == 0 {
			t.Errorf("the window was opened by %d; %d pings were answered", granted, answered)
		}
	})
}

// Under memory pressure windows do not grow, and grown ones shrink.
func TestWindowWhenMemoryIsShort(t *testing.T) {
	for name, share := range map[string]bool{"the session's": false, "a shared one": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const limit = 12 << 20
				config, hoard := yamux.Config{MaxBuffered: limit}, 26
				if share {
					config = yamux.Config{Budget: yamux.NewBudget(limit)}
				}
				near, far := wirePair(roundTrip/2, wireRate)
				config.Accept = true
				client, server := yamux.Client(near, yamux.Config{}), yamux.Server(far, config)
				defer server.Close()
				defer client.Close()
				fast := func() (from, to *yamux.Stream) {
					from, to = open(t, client, server)
					check(t, from.SetDeadline(time.Time{}))
					check(t, to.SetDeadline(time.Time{}))
					return from, to
				}
				from, to := fast()
				writing := async(func() error { pump(from); return nil })
				readFor(t, to, time.Second)
				wantWindow(t, from, to, limit/8) // one stream may not have all of it
				<-writing

				for range hoard { // more than half of the budget
					a, _ := fast()
					conntest.Write(t, a, make([]byte, window))
				}
				synctest.Wait()
				<-time.After(time.Second)
				writing = async(func() error { pump(from); return nil })
				readFor(t, to, 3*time.Second)
				wantWindow(t, from, to, window)
				<-writing

				from, to = fast()
				writing = async(func() error { pump(from); return nil })
				readFor(t, to, 3*time.Second)
				wantWindow(t, from, to, window)
				<-writing
			})
		})
	}
}

// A peer that does not answer pings keeps its initial window. It is pinged now and
// then, and only while it sends much.
func TestWindowOfMutePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := wirePair(roundTrip/2, wireRate)
		session, peer := newPeerOn(t, yamux.Server(near, accepting), far)
		st := peer.accept(session, 1)
		check(t, st.SetDeadline(time.Time{}))
		go func() { _, _ = io.Copy(io.Discard, st) }()
		// send sends within the window, with a pause after each frame.
		left := window
		var pings []time.Time
		send := func(d, pause time.Duration) {
			for start := time.Now(); time.Since(start) < d; {
				for left >= 16<<10 {
					peer.send(data(1, 0, string(make([]byte, 16<<10))))
					left -= 16 << 10
					<-time.After(pause)
				}
				f, err := peer.receiveAny()
				check(t, err)
				switch {
				case f.measures():
					pings = append(pings, time.Now())
				case f.kind == typeWindow:
					left += int(f.length)
				default:
					t.Fatalf("got frame %v", f)
				}
				if left > window {
					t.Fatalf("there is a window of %d", left)
				}
			}
		}
		send(20*time.Second, 0)
		if n := len(pings); n < 5 || n > 10 {
			t.Errorf("%d pings came in 20 s, want one each 2 s", n)
		}
		for i := 1; i < len(pings); i++ {
			if pause := pings[i].Sub(pings[i-1]); pause < 2*time.Second {
				t.Errorf("a ping came %v after another", pause)
			}
		}
		send(time.Second, 300*time.Millisecond) // left in flight from before
		pings = nil
		send(30*time.Second, 300*time.Millisecond)
		if len(pings) > 0 {
			t.Errorf("%d pings came while there was no hurry", len(pings))
		}
	})
}
