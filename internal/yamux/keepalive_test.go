package yamux_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// quietPeer returns a session in memory, its other side for the test to play, and a
// channel with each frame that the session sends and the time of its arrival.
func quietPeer(t *testing.T, config yamux.Config) (*yamux.Session, peer, <-chan sighting) {
	near, far := memoryPair()
	session, peer := newPeerOn(t, yamux.Client(near, config), far)
	seen, start := make(chan sighting, 1000), time.Now()
	go func() {
		defer close(seen)
		for f, err := peer.receive(); err == nil; f, err = peer.receive() {
			seen <- sighting{f, time.Since(start)}
		}
	}()
	return session, peer, seen
}

type sighting struct {
	frame frame
	after time.Duration
}

// isPing reports whether f asks for an answer.
func (f frame) isPing() bool { return f.kind == typePing && f.flags == flagSYN && f.stream == 0 }

// A silent peer is pinged after 15 s, and declared dead after 30 s.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		session, _, seen := quietPeer(t, yamux.Config{})
		if s := <-seen; !s.frame.isPing() || s.after != 15*time.Second {
			t.Errorf("after %v came %v; want a ping after 15 s", s.after, s.frame)
		}
		for s := range seen {
			t.Errorf("after %v came %v; want one ping only", s.after, s.frame)
		}
		<-session.Done()
		if took := time.Since(start); took != 30*time.Second || !errors.Is(session.Err(), yamux.ErrDead) {
			t.Errorf("after %v: %v; want %v after 30 s", took, session.Err(), yamux.ErrDead)
		}
		wantSessionErr(t, "Err", session.Err())
	})
}

// Any byte of the peer, even of half a frame, is a sign of life: on a slow link the
// answer waits behind data.
func TestAnyByteIsLife(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"frames":        encode(frame{kind: typePing, flags: flagACK, length: 1}, update(7, 0, 0)),
		"half a header": make([]byte, 11),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				session, peer, seen := quietPeer(t, yamux.Config{})
				last := time.Duration(0)
				for _, b := range bytes {
					last += 29 * time.Second // the ping before it is unanswered
					<-time.After(last - time.Since(start))
					peer.sendBytes([]byte{b})
				}
				<-session.Done()
				if want := last + 30*time.Second; time.Since(start) != want || !errors.Is(session.Err(), yamux.ErrDead) {
					t.Errorf("after %v: %v; want %v after %v", time.Since(start), session.Err(), yamux.ErrDead, want)
				}
				pings := 0
				for s := range seen {
					if !s.frame.isPing() || s.after%(29*time.Second) != 15*time.Second {
						t.Errorf("after %v came %v; want a ping after 15 s of silence", s.after, s.frame)
					}
					pings++
				}
				if pings != len(bytes)+1 {
					t.Errorf("%d pings came, want one for each silence, %d", pings, len(bytes)+1)
				}
			})
		})
	}
}

// A peer that sends traffic is not pinged.
func TestNoPingsInTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer, seen := quietPeer(t, yamux.Config{})
		for range 100 {
			<-time.After(15*time.Second - 1)
			peer.send(update(7, 0, 0))
		}
		if len(seen) > 0 || session.Err() != nil {
			t.Errorf("%d frames came; %v", len(seen), session.Err())
		}
	})
}

// Two sessions keep each other alive.
func TestIdleForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := memorySessions(t)
		a, b := open(t, client, server)
		<-time.After(time.Hour)
		for _, s := range []*yamux.Session{client, server} {
			if s.Err() != nil {
				t.Fatalf("a session has ended: %v", s.Err())
			}
		}
		for _, st := range []*yamux.Stream{a, b} {
			check(t, st.SetDeadline(time.Time{}))
		}
		conntest.Write(t, a, "still here")
		conntest.WantRead(t, b, "still here")
	})
}

// A stream that was closed here waits a minute for the peer's FIN, and then resets:
// peers that never end must not fill the session up.
func TestCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer, seen := quietPeer(t, accepting)
		for _, id := range []uint32{2, 4} {
			peer.send(update(id, flagSYN, 0))
			st, err := session.Accept(background)
			check(t, err)
			check(t, st.Close())
			<-seen // the ACK
			if s := <-seen; s.frame != update(id, flagFIN, 0) {
				t.Fatalf("Close sends %v", s.frame)
			}
			<-time.After(time.Second)
		}
		// The peer of the second one ends in time, so that it just ends.
		peer.send(update(4, flagFIN, 0))
		for s := range seen {
			switch {
			case s.frame.isPing():
				_, _ = peer.conn.Write(encode(frame{typePing, flagACK, 0, s.frame.length, ""}))
			case s.frame != update(2, flagRST, 0) || s.after != time.Minute:
				t.Errorf("after %v came %v, want RST on stream 2 after a minute", s.after, s.frame)
			default:
				<-time.After(5 * time.Second) // nothing follows
				session.Close()
			}
		}
	})
}

// A stream that the peer does not answer counts from the first such one on, even when it
// has ended, until anything comes.
func TestUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer, _ := quietPeer(t, yamux.Config{})
		want := func(want time.Duration) {
			t.Helper()
			synctest.Wait()
			if got := session.Unanswered(); got != want {
				t.Errorf("unanswered for %v, want %v", got, want)
			}
		}
		<-time.After(time.Second)
		want(0)
		for range 2 {
			st, err := session.Open(t.Context())
			check(t, err)
			check(t, st.Reset())
			<-time.After(time.Second)
		}
		want(2 * time.Second)
		peer.send(frame{kind: typePing, flags: flagACK})
		want(0)
		<-time.After(time.Second)
		_, err := session.Open(t.Context())
		check(t, err)
		<-time.After(3 * time.Second)
		want(3 * time.Second)
		session.Close()
	})
}
