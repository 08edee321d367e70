package yamux_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// unacked returns a session in simulated time, whose peer records streams and
// acknowledges none by itself.
func unacked(t *testing.T) (*yamux.Session, peer) {
	t.Helper()
	near, far := memoryPair()
	return newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
}

// openAll opens streams until the next one would have to wait, and returns them.
func (p peer) openAll(s *yamux.Session) (opened []*yamux.Stream) {
	p.Helper()
	for {
		st := s.TryOpen()
		if st == nil {
			return opened
		}
		st.Flush()
		if f, err := p.receive(); err != nil || f.flags != flagSYN {
			p.Fatalf("got frame %v, %v; want a SYN", f, err)
		}
		opened = append(opened, st)
	}
}

// wantSlots expects that exactly want streams can be opened.
func (p peer) wantSlots(s *yamux.Session, want int) (opened []*yamux.Stream) {
	p.Helper()
	opened = p.openAll(s)
	if len(opened) != want {
		p.Errorf("%d streams can be opened, want %d", len(opened), want)
	}
	return opened
}

// A frame acknowledges its stream, with the ACK flag or without: several libraries
// forget the flag once the stream has changed state.
func TestFramesAcknowledge(t *testing.T) {
	for name, f := range map[string]frame{
		"ACK":                   update(511, flagACK, 0),
		"ACK with data":         data(511, flagACK, "220 ready"),
		"data":                  data(511, 0, "220 ready"),
		"credit":                update(511, 0, 1),
		"FIN":                   update(511, flagFIN, 0),
		"FIN with data":         data(511, flagFIN, "bye"),
		"credit of zero":        update(511, 0, 0),
		"data without anything": data(511, 0, ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session, peer := unacked(t)
				peer.wantSlots(session, 256)
				peer.send(f)
				peer.wantNothing()
				peer.wantSlots(session, 256) // see TestLaterStreamAcknowledges
				peer.send(f)
				if f.flags&flagFIN == 0 || f.kind == typeWindow {
					peer.wantNothing()
					peer.wantSlots(session, 0) // one is enough
				}
			})
		})
	}
}

// Streams are accepted in the order in which they were opened. A peer that has one of
// them has those before it, though it may never say so: some libraries acknowledge with
// the first data that they send, and some servers send none.
func TestLaterStreamAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer := unacked(t)
		peer.wantSlots(session, 256)
		peer.send(update(2*100-1, flagACK, 0))
		peer.wantNothing()
		peer.wantSlots(session, 100)
		peer.send(update(1, flagACK, 0), update(2*99-1, 0, 1)) // both repeat what is known
		peer.wantNothing()
		peer.wantSlots(session, 0)
		peer.send(update(511, 0, 1))
		peer.wantNothing()
		peer.wantSlots(session, 156)
	})
}

// A reset says nothing about other streams: peers send it when they have too many.
func TestResetAcknowledgesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer := unacked(t)
		opened := peer.wantSlots(session, 256)
		peer.send(update(511, flagRST, 0))
		peer.wantNothing()
		peer.wantSlots(session, 1)
		check(t, opened[7].Reset())
		peer.want(update(15, flagRST, 0))
		peer.wantSlots(session, 1)
		peer.send(update(509, flagACK, 0))
		peer.wantNothing()
		peer.wantSlots(session, 254) // two of those before it have ended, and two came after it
	})
}

// Some libraries never acknowledge a stream whose end came before it was accepted. It
// counts separately, after a second in which others would be acknowledged. So users who
// ask and end at once do not keep others away until they are answered. At most 1024
// streams count separately.
func TestEndedStreamsCountSeparately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer := unacked(t)
		end := func(streams []*yamux.Stream) {
			for _, st := range streams {
				check(t, st.CloseWrite())
				if f, err := peer.receive(); err != nil || f.flags != flagFIN {
					t.Fatalf("got frame %v, %v; want a FIN", f, err)
				}
			}
		}
		opened := peer.wantSlots(session, 256)
		end(opened[:200])
		<-time.After(999 * time.Millisecond)
		peer.wantSlots(session, 0)
		<-time.After(2 * time.Millisecond)
		opened = append(opened, peer.wantSlots(session, 200)...)
		end(opened[200:])
		for range 3 {
			<-time.After(1001 * time.Millisecond)
			opened = append(opened, peer.wantSlots(session, 256)...)
			end(opened[len(opened)-256:])
		}
		<-time.After(1001 * time.Millisecond)
		opened = append(opened, peer.wantSlots(session, 1024-200-3*256)...)
		if len(opened) != 256+1024 {
			t.Errorf("%d streams were opened in all, want 1280", len(opened))
		}
		end(opened[1224:])
		<-time.After(5 * time.Second)
		peer.wantSlots(session, 0)

		// Answers free slots for streams that wait to count separately.
		for i := range uint32(100) {
			peer.send(data(2*i+1, flagFIN, "answer"))
		}
		peer.wantNothing()
		<-time.After(1001 * time.Millisecond)
		peer.wantSlots(session, 100)
	})
}

// An Open that waits gets a slot as soon as another stream counts separately.
func TestOpenWaitsForEndedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer := unacked(t)
		opened := peer.wantSlots(session, 256)
		check(t, opened[3].Close())
		peer.want(update(7, flagFIN, 0))
		start := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("too long"))
		defer cancel()
		_, err := session.Open(ctx)
		check(t, err)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want a second", took)
		}
		peer.want(update(513, flagSYN, 0))
	})
}

// Streams that come and go before their peer acknowledges them leave nothing behind.
func TestUnacknowledgedStreamsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer := unacked(t)
		for id := uint32(1); id < 6000; id += 2 {
			st, err := session.Open(t.Context())
			check(t, err)
			peer.want(update(id, flagSYN, 0))
			check(t, st.CloseWrite())
			peer.want(update(id, flagFIN, 0))
			check(t, st.Reset())
			peer.want(update(id, flagRST, 0))
		}
		if n := session.Unacknowledged(); n != 0 {
			t.Errorf("%d streams are held, want none", n)
		}
		<-time.After(2 * time.Second)
		peer.wantSlots(session, 256)
	})
}
