package yamux_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

var errUserLeft = errors.New("the user left")

// Ids show which side opened a stream, and are never reused.
func TestStreamIDs(t *testing.T) {
	for name, tt := range map[string]struct {
		side  func(yamux.Conn, yamux.Config) *yamux.Session
		first uint32
	}{
		"client": {yamux.Client, 1}, "server": {yamux.Server, 2},
	} {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, tt.side, yamux.Config{})
			for i := range uint32(5) {
				st := peer.open(session, tt.first+2*i)
				check(t, st.Reset())
				peer.want(update(tt.first+2*i, flagRST, 0))
			}
		})
	}
}

// At most 256 streams are unacknowledged: many implementations accept no more, and some
// end the session then.
func TestUnacknowledgedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memoryPair()
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		var streams [256]*yamux.Stream
		opening := async(func() (err error) {
			for i := range streams {
				if streams[i], err = session.Open(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
		for i := range uint32(256) {
			peer.want(update(2*i+1, flagSYN, 0))
		}
		check(t, <-opening)

		ctx, cancel := context.WithCancelCause(t.Context())
		opening = async(func() error { _, err := session.Open(ctx); return err })
		synctest.Wait()
		if len(opening) > 0 {
			t.Fatalf("a 257th stream does not wait: %v", <-opening)
		}
		cancel(errUserLeft)
		if err := <-opening; !errors.Is(err, errUserLeft) {
			t.Errorf("who returns up gets %v, want the cause of the context", err)
		}
		peer.wantNothing()

		// Each way in which a stream can stop being unacknowledged frees a slot.
		id := uint32(513)
		for i, freeSlot := range []func(){
			func() { peer.send(update(1, flagACK, 0)) },
			func() { peer.send(data(3, flagACK, "220 ready")) },
			func() { peer.send(update(5, flagRST, 0)) },
			func() { check(t, streams[3].Reset()) },
			func() { peer.send(data(9, flagACK|flagFIN, "bye")) },
		} {
			opening := async(func() error { _, err := session.Open(t.Context()); return err })
			synctest.Wait()
			if len(opening) > 0 {
				t.Fatalf("%d: a further stream does not wait: %v", i, <-opening)
			}
			freeSlot()
			f, err := peer.receive()
			if err == nil && f == update(7, flagRST, 0) { // may come before or after
				f, err = peer.receive()
			}
			if err != nil || f != update(id, flagSYN, 0) {
				t.Fatalf("got frame %v, %v; want SYN of stream %d", f, err, id)
			}
			check(t, <-opening)
			peer.sync()
			id += 2
		}
		peer.send(update(1, flagACK, 0), data(3, flagACK, "x")) // one is enough
		opening = async(func() error { _, err := session.Open(t.Context()); return err })
		synctest.Wait()
		if len(opening) > 0 {
			t.Fatalf("a second acknowledgement of a stream makes room: %v", <-opening)
		}
		session.Close()
		wantSessionErr(t, "Open", <-opening)
	})
}

// Accept acknowledges streams, and nothing earlier does: a side that does not accept
// must be able to slow the other one down.
func TestAcceptAcknowledges(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	peer.send(update(1, flagSYN, 0), data(3, flagSYN, "hello"))
	peer.wantNothing()
	for _, id := range []uint32{1, 3} {
		st, err := session.Accept(background)
		check(t, err)
		peer.want(update(id, flagACK, 0))
		if id == 3 {
			conntest.WantRead(t, st, "hello")
		}
		check(t, st.CloseWrite())
		peer.want(update(id, flagFIN, 0))
	}
}

// Nothing sent before Accept is lost, not even the end.
func TestAcceptOfEndedStream(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	peer.send(data(1, flagSYN|flagFIN, "all"), data(3, flagSYN, "some"), update(3, flagRST, 0))
	peer.sync()
	for _, end := range []struct {
		text string
		err  error
	}{{"all", io.EOF}, {"some", yamux.ErrReset}} {
		st, err := session.Accept(background)
		check(t, err)
		conntest.WantRead(t, st, []byte(end.text))
		wantReadErr(t, st, end.err)
	}
}

// The streams that wait for Accept are bounded. Those beyond are reset, and the session
// lives.
func TestAcceptBacklog(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	const backlog = 1280 // what the other side may leave unacknowledged
	for i := range uint32(backlog) {
		peer.send(update(2*i+1, flagSYN, 0))
	}
	peer.wantNothing()
	const next = 2*backlog + 1
	peer.send(update(next, flagSYN, 0), data(next+2, flagSYN, "hello"))
	peer.want(update(next, flagRST, 0), update(next+2, flagRST, 0))
	_, err := session.Accept(background)
	check(t, err)
	peer.want(update(1, flagACK, 0))
	peer.send(update(next+4, flagSYN, 0))
	peer.wantNothing()
}

func TestMaxStreams(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, MaxStreams: 3})
	first := peer.accept(session, 1)
	peer.accept(session, 3)
	own := peer.open(session, 2) // counts too
	if _, err := session.Open(t.Context()); !errors.Is(err, yamux.ErrTooManyStreams) {
		t.Errorf("a fourth stream returns %v, want %v", err, yamux.ErrTooManyStreams)
	}
	peer.send(update(5, flagSYN, 0))
	peer.want(update(5, flagRST, 0))
	check(t, first.Reset())
	peer.want(update(1, flagRST, 0))
	peer.accept(session, 7)
	check(t, own.Reset())
	peer.want(update(2, flagRST, 0))
	peer.open(session, 4)
	if session.Err() != nil {
		t.Errorf("the session has ended: %v", session.Err())
	}
}

// The default limit is 4096 streams.
func TestDefaultMaxStreams(t *testing.T) {
	client, server := sessions(t)
	for range 4096 {
		_, err := client.Open(t.Context())
		check(t, err)
		_, err = server.Accept(background)
		check(t, err)
	}
	if _, err := client.Open(t.Context()); !errors.Is(err, yamux.ErrTooManyStreams) {
		t.Errorf("got %v, want %v", err, yamux.ErrTooManyStreams)
	}
}
