package yamux_test

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// The crate yamux answers each stream beyond its limit with a GO_AWAY that carries an
// error code, and goes on with the others. So does the session: it resets only that
// stream, and for a minute opens no more than the others.
func TestPeerHasTooManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memoryPair()
		var counters yamux.Counters
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{Counters: &counters}), far)
		var had [4]*yamux.Stream
		for i := range had {
			had[i] = openPlainly(t, peer, session, uint32(2*i+1))
		}
		refused := peer.openOne(session)
		peer.send(protocolError)
		peer.want(update(9, flagRST, 0))
		wantReadErr(t, refused, yamux.ErrReset)
		wantWriteErr(t, refused, yamux.ErrReset)

		if _, err := session.Open(t.Context()); !errors.Is(err, yamux.ErrTooManyStreams) {
			t.Errorf("Open returns %v, want %v", err, yamux.ErrTooManyStreams)
		}
		if n := counters.Refused.Load(); n != 1 {
			t.Errorf("%d streams refused were counted, want 1", n)
		}
		for i, st := range had {
			conntest.Write(t, st, "question")
			peer.want(data(uint32(2*i+1), 0, "question"))
			peer.send(data(uint32(2*i+1), 0, "answer"))
			conntest.WantRead(t, st, "answer")
		}
		check(t, had[0].Reset())
		peer.want(update(1, flagRST, 0))
		openPlainly(t, peer, session, 11)
		if st := session.TryOpen(); st != nil {
			t.Error("a stream too many was opened")
		}

		for range 6 { // a minute, without a silence that asks for pings
			<-time.After(10*time.Second + 1)
			peer.wantNothing()
		}
		peer.openOne(session)
		peer.send(frame{typeGoAway, 0, 0, 2, ""}) // or a similar code
		peer.want(update(13, flagRST, 0))
		if isClosed(session.Refusing().Done()) || session.Err() != nil {
			t.Errorf("the session has ended: %v", session.Err())
		}
	})
}

// openOne opens a stream that the peer does not acknowledge.
func (p peer) openOne(s *yamux.Session) *yamux.Stream {
	p.Helper()
	st := s.TryOpen()
	if st == nil {
		p.Fatal("a stream cannot be opened")
	}
	st.Flush()
	if f, err := p.receive(); err != nil || f.flags != flagSYN {
		p.Fatalf("got frame %v, %v; want a SYN", f, err)
	}
	return st
}

// Several streams may have been in flight. Each has its GO_AWAY.
func TestPeerHasTooManyStreamsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer := unacked(t)
		opened := peer.wantSlots(session, 256)
		peer.send(update(2*250-1, flagACK, 0))
		for n := range 6 {
			peer.send(protocolError)
			peer.want(update(uint32(511-2*n), flagRST, 0))
		}
		for i, st := range opened {
			_, err := st.TryRead(make([]byte, 1))
			if lives := errors.Is(err, syscall.EAGAIN); lives != (i < 250) {
				t.Errorf("stream %d returns %v", i, err)
			}
		}
		peer.wantSlots(session, 0)
		peer.send(protocolError) // not because of a stream: all are acknowledged
		<-session.Done()
		wantSessionErr(t, "Err", session.Err())
	})
}

// An error code while there is no other stream ends the session.
func TestPeerEndsSession(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	peer.openOne(session)
	peer.send(protocolError)
	wait(t, session.Done(), "the end of the session")
}
