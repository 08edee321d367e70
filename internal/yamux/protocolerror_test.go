package yamux_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// broken are violations of the protocol, sent by the peer of a client session that has
// opened stream 1 and accepted stream 2.
var broken = map[string][]byte{
	"version":                        {1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
	"type":                           encode(frame{kind: 4, stream: 1}),
	"HTTP":                           []byte("HTTP/1.1 400 Bad Request\r\n\r\n"),
	"data on stream 0":               encode(data(0, 0, "x")),
	"window update on stream 0":      encode(update(0, 0, 1)),
	"SYN on stream 0":                encode(update(0, flagSYN, 0)),
	"SYN of our own parity":          encode(update(3, flagSYN, 0)),
	"SYN of our own stream":          encode(update(1, flagSYN, 0)),
	"SYN twice":                      encode(update(4, flagSYN, 0), update(4, flagSYN, 0)),
	"SYN of an accepted stream":      encode(data(2, flagSYN, "x")),
	"one byte beyond the window":     encode(data(1, 0, strings.Repeat("x", window)), data(1, 0, "x")),
	"a frame larger than the window": encode(data(1, 0, strings.Repeat("x", window+1))),
	"data after FIN":                 encode(update(1, flagFIN, 0), data(1, 0, "x")),
	"data after FIN with data":       encode(data(2, flagFIN, "all"), data(2, 0, "x")),
	"window overflow":                encode(update(1, 0, 1<<31)),
	"window overflow, to zero":       encode(update(1, 0, 1<<32-window)),
	"window overflow, in steps":      encode(update(1, 0, 1<<31-1-window), update(1, 0, 1)),
}

func TestProtocolErrors(t *testing.T) {
	for name, bytes := range broken {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, yamux.Client, accepting)
			opened, accepted := peer.open(session, 1), peer.accept(session, 2)
			peer.sendBytes(bytes)
			wait(t, session.Done(), "the end of the session")
			if err := session.Err(); !errors.Is(err, yamux.ErrProtocol) || !errors.Is(err, yamux.ErrSessionEnded) {
				t.Errorf("Err is %v, want %v", err, yamux.ErrProtocol)
			}
			for _, st := range []*yamux.Stream{opened, accepted} {
				_, err := st.Write([]byte("x"))
				for ; err == nil; _, err = st.Write([]byte("x")) {
				}
				wantSessionErr(t, "Write", err)
			}
		})
	}
}

// The peer is told that it has violated the protocol: its author has no other way to
// find out.
func TestProtocolErrorIsSent(t *testing.T) {
	for range 20 { // not by luck
		for name, bytes := range broken {
			if len(bytes) > window {
				continue // unread bytes reset the connection, which may be faster
			}
			session, peer := newPeer(t, yamux.Client, accepting)
			peer.open(session, 1)
			peer.accept(session, 2)
			peer.sendBytes(bytes)
			if got, err := peer.receive(); err != nil || got != protocolError {
				t.Fatalf("%s: got %v, %v; want %v", name, got, err, protocolError)
			}
			session.Close()
		}
	}
}

// If the peer does not read, the session tries for half a second, and the reason stays
// the same.
func TestProtocolErrorIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, peer, _, _ := stalled(t)
		start := time.Now()
		peer.send(frame{kind: 9})
		<-session.Done()
		if took := time.Since(start); took != time.Second/2 {
			t.Errorf("the session ended after %v", took)
		}
		wantSessionErr(t, "Err", session.Err())
		if err := session.Err(); !errors.Is(err, yamux.ErrProtocol) {
			t.Errorf("Err is %v, want %v", err, yamux.ErrProtocol)
		}
	})
}

// The window may grow to just below 2 GiB.
func TestLargestWindow(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	st := peer.open(session, 1)
	peer.send(update(1, 0, 1<<31-1-window))
	peer.wantNothing()
	writing := async(func() error { _, err := st.Write(make([]byte, 4*window)); return err })
	for n := 0; n < 4*window; {
		f, err := peer.receive()
		check(t, err)
		n += len(f.body)
	}
	check(t, wait(t, writing, "Write"))
}

// A side that accepts no streams tolerates 100 in a minute: some may have been in
// flight. Each is reset.
func TestStrays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memoryPair()
		session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
		id := uint32(0)
		stray := func() {
			id += 2
			if id%4 == 0 {
				peer.send(update(id, flagSYN, 0))
			} else {
				peer.send(data(id, flagSYN, "hello"))
			}
		}
		for range 3 {
			for range 100 {
				stray()
				peer.want(update(id, flagRST, 0))
			}
			for range 6 { // a minute, without a silence that asks for pings
				<-time.After(10*time.Second + 1)
				peer.wantNothing()
			}
		}
		for range 101 {
			if session.Err() != nil {
				t.Fatalf("ended before the 101st: %v", session.Err())
			}
			stray()
			if f, err := peer.receive(); err != nil || f != update(id, flagRST, 0) {
				break
			}
		}
		<-session.Done()
		if !errors.Is(session.Err(), yamux.ErrProtocol) {
			t.Errorf("Err is %v, want %v", session.Err(), yamux.ErrProtocol)
		}
	})
}

// The last stray is answered like every protocol error.
func TestProtocolErrorAfterStrays(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	for i := range uint32(100) {
		peer.send(update(2*i+2, flagSYN, 0))
		peer.want(update(2*i+2, flagRST, 0))
	}
	peer.send(update(202, flagSYN, 0))
	peer.wantEnd(protocolError)
	wait(t, session.Done(), "the end of the session")
}
