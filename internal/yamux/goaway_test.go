package yamux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// A side that sends GO_AWAY accepts no more streams, and keeps those that are open.
func TestGoAway(t *testing.T) {
	client, server := sessions(t)
	a, b := open(t, client, server)
	server.GoAway()
	wait(t, client.Refusing().Done(), "that the peer's session refuses")
	for range 100 {
		if _, err := client.Open(t.Context()); !errors.Is(err, yamux.ErrGoneAway) {
			t.Fatalf("Open returns %v, want %v", err, yamux.ErrGoneAway)
		}
	}
	conntest.Write(t, a, "question")
	conntest.WantRead(t, b, "question")
	conntest.Write(t, b, "answer")
	conntest.WantRead(t, a, "answer")
	if isClosed(server.Refusing().Done()) {
		t.Error("a side that sent GO_AWAY cannot open streams itself")
	}
	open(t, server, client) // the other side has sent none
	for _, s := range []*yamux.Session{client, server} {
		if isClosed(s.Done()) || s.Err() != nil {
			t.Errorf("GO_AWAY ended a session: %v", s.Err())
		}
	}
}

// Streams that were in flight when GO_AWAY was sent are reset.
func TestStreamsAfterGoAway(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	st := peer.accept(session, 1)
	session.GoAway()
	peer.want(frame{kind: typeGoAway})
	peer.send(update(3, flagSYN, 0), data(5, flagSYN, "hello"))
	peer.want(update(3, flagRST, 0), update(5, flagRST, 0))
	peer.send(data(1, flagFIN, "goes on"))
	if got, err := io.ReadAll(st); err != nil || string(got) != "goes on" {
		t.Errorf("got %q, %v", got, err)
	}
}

// GoAway resets streams that wait to be accepted.
func TestGoAwayResetsUnaccepted(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	peer.send(update(1, flagSYN, 0), frame{kind: typePing, flags: flagSYN, length: 7})
	peer.want(frame{kind: typePing, flags: flagACK, length: 7}) // so the stream has come
	session.GoAway()
	peer.want(frame{kind: typeGoAway}, update(1, flagRST, 0))
}

// GO_AWAY ends an Open that waits.
func TestGoAwayWhileOpenWaits(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	for range 256 {
		_, err := session.Open(t.Context())
		check(t, err)
	}
	opening := async(func() error { _, err := session.Open(context.Background()); return err })
	peer.send(frame{kind: typeGoAway})
	if err := wait(t, opening, "Open"); !errors.Is(err, yamux.ErrGoneAway) {
		t.Errorf("got %v, want %v", err, yamux.ErrGoneAway)
	}
}

// Drain follows the end of all streams: nothing of them is lost.
func TestDrain(t *testing.T) {
	const count = 32
	client, server := sessions(t)
	sent := pattern(11, 0, window)
	var ends [count]*yamux.Stream
	for i := range ends {
		var a *yamux.Stream
		a, ends[i] = open(t, client, server)
		conntest.Write(t, a, sent)
		check(t, a.Close())
	}
	client.Drain()
	if !isClosed(client.Done()) {
		t.Error("the session has not ended")
	}
	for _, st := range ends {
		if got, err := io.ReadAll(st); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("got %d bytes, %v; want %d and the end", len(got), err, len(sent))
		}
	}
	wait(t, server.Done(), "the end of the peer's session")
}

// A session that drains has sent everything, and answers nothing any more. Requests of
// the peer do not keep it from reading the rest.
func TestDrainWhilePeerSends(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, accepting)
	sent := pattern(3, 0, window)
	st := peer.open(session, 1)
	conntest.Write(t, st, sent)
	check(t, st.Close())
	drained := async(func() error { session.Drain(); return nil })
	rest, err := io.ReadAll(peer.conn)
	if check(t, err); len(rest) < len(sent) {
		t.Errorf("the peer has read %d bytes, want %d and the end", len(rest), len(sent))
	}
	peer.send(
		frame{typePing, flagSYN, 0, 77, ""},                               // asks for an answer
		update(2, flagSYN, 0), data(4, flagSYN, "hello"), update(4, 0, 1), // ask for a reset
		update(1, flagFIN, 0),
	)
	select {
	case <-drained:
		t.Error("the session has ended before its peer has")
	case <-time.After(30 * time.Millisecond): // in which it would have ended
	}
	if n, err := peer.conn.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		t.Errorf("the peer reads %d bytes, %v; want the end still", n, err)
	}
	check(t, peer.conn.Close())
	wait(t, drained, "Drain")
}

// Drain does not wait for ever, neither for a peer that does not read nor for one that
// does not end.
func TestDrainWithoutPeer(t *testing.T) {
	for name, tt := range map[string]struct {
		reads  bool
		write  int
		silent time.Duration // before
	}{
		"that does not end": {true, 0, 0}, "that does not read": {false, 1, 0}, "that reads no more": {false, window, 0},
		"that was silent": {true, 0, 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := memoryPair()
				session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
				st := peer.open(session, 1)
				writing := async(func() error {
					if tt.write == 0 {
						return nil
					}
					_, err := st.Write(make([]byte, tt.write))
					return err
				})
				if tt.reads {
					go func() { _, _ = io.Copy(io.Discard, far) }()
				}
				synctest.Wait()
				<-time.After(tt.silent)
				start := time.Now()
				session.Drain()
				if took := time.Since(start); took != 30*time.Second {
					t.Errorf("took %v, want half a minute", took)
				}
				<-writing
				check(t, st.SetReadDeadline(time.Time{})) // the stream has ended
				wantReadErr(t, st, yamux.ErrSessionEnded)
			})
		})
	}
}

// Both sides may drain at once, and more than once.
func TestDrainTogether(t *testing.T) {
	client, server := sessions(t)
	var done []<-chan error
	for _, s := range []*yamux.Session{client, server, client, server} {
		done = append(done, async(func() error { s.Drain(); return nil }))
	}
	for _, d := range done {
		wait(t, d, "Drain")
	}
	client.Drain()
	server.Close()
	server.GoAway() // too late, and harmless
}
