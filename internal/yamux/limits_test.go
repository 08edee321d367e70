package yamux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/yamux"
)

// idle are frames that make no progress, for a client session that has opened streams 1
// and 3 and whose stream 3 has received FIN.
var idle = map[string]frame{
	"ping":                           {typePing, flagSYN, 0, 7, ""},
	"answer that nobody asked for":   {typePing, flagACK, 0, 7, ""},
	"data of zero length":            data(1, 0, ""),
	"data of zero length, odd flags": data(1, 0xfff0, ""),
	"window update of 0":             update(1, 0, 0),
	"ACK again":                      update(1, flagACK, 0),
	"ACK again, in data":             data(1, flagACK, ""),
	"FIN again":                      update(3, flagFIN, 0),
	"window update of no stream":     update(99, 0, 1),
	"ACK of no stream":               update(99, flagACK, 0),
	"FIN of no stream":               update(99, flagFIN, 0),
	"RST of no stream":               update(99, flagRST, 0),
	"RST of no stream, in data":      data(99, flagRST, ""),
	"data of no stream":              data(99, 0, "x"),
	"data of a stream of the peer":   data(2, 0, "x"),
	"GO_AWAY":                        {typeGoAway, 0, 0, 0, ""},
}

// A session tolerates a thousand frames at once that make no progress, and 200 a
// second.
func TestIdleFrames(t *testing.T) {
	for name, f := range idle {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var counters yamux.Counters
				near, far := memoryPair()
				session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{Counters: &counters}), far)
				peer.open(session, 1)
				peer.open(session, 3)
				peer.send(update(3, flagFIN, 0))
				reading := async(func() error { _, err := io.Copy(io.Discard, far); return err })
				for _, burst := range []int{1000, 200, 200} {
					for range burst {
						peer.send(f)
					}
					synctest.Wait()
					if session.Err() != nil {
						t.Fatalf("the session has ended: %v", session.Err())
					}
					<-time.After(time.Second)
				}
				for range 201 {
					_, _ = far.Write(f.bytes()) // the last ones fail
				}
				<-session.Done()
				<-reading
				if err := session.Err(); !errors.Is(err, yamux.ErrProtocol) {
					t.Errorf("Err is %v, want %v", err, yamux.ErrProtocol)
				}
				if n := counters.Flooded.Load(); n != 1 {
					t.Errorf("%d floods were counted, want 1", n)
				}
			})
		})
	}
}

// Sessions that work hard do not come near the limits, though streams come and go while
// bytes are in flight in both directions.
func TestBusySessionsAreNotIdle(t *testing.T) {
	config := yamux.Config{Accept: true, ControlRate: 5, ControlBurst: 20} // a few pings
	near, far := tcpPair(t)
	client, server := yamux.Client(near, config), yamux.Server(far, config)
	t.Cleanup(func() { client.Close(); server.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			st, err := server.Accept(ctx)
			if err != nil {
				return
			}
			serving.Go(func() { // echoes
				_, _ = io.Copy(st, st)
				_ = st.Close()
			})
		}
	})
	var users sync.WaitGroup
	for user := range 8 {
		users.Go(func() {
			for round := range 50 {
				st, err := client.Open(t.Context())
				if err != nil {
					t.Errorf("user %d, round %d: %v", user, round, err)
					return
				}
				busyUser(st, round)
			}
		})
	}
	users.Wait()
	cancel()
	for side, s := range map[string]*yamux.Session{"client": client, "server": server} {
		if s.Err() != nil {
			t.Errorf("the session of the %s has ended: %v", side, s.Err())
		}
	}
	client.Close()
	serving.Wait()
}

// busyUser uses a stream in one of several ways. Most leave frames in flight that then
// belong to no stream.
func busyUser(st *yamux.Stream, round int) {
	switch round % 4 {
	case 0: // single bytes
		for range 200 {
			_, _ = st.Write([]byte("x"))
		}
		_ = st.CloseWrite()
		_, _ = io.Copy(io.Discard, st)
		_ = st.Close()
	case 1: // much data, in both directions at once
		reading := async(func() error { _, err := io.Copy(io.Discard, st); return err })
		_, _ = st.Write(make([]byte, 4*window))
		_ = st.CloseWrite()
		<-reading
		_ = st.Close()
	case 2: // small frames, most of which come back after the end
		for range 500 {
			_, _ = st.Write([]byte("hello"))
		}
		_ = st.Reset()
	case 3:
		_, _ = st.Write(make([]byte, window))
		_ = st.Close()
	}
}

// Frames that are in flight when a stream ends are allowed, up to its window, and for
// as long as they can take.
func TestLateFrames(t *testing.T) {
	const frames = 10_000 // of the 262144 that the window allows
	late := encode(data(1, 0, "x"))
	for name, tt := range map[string]struct {
		after time.Duration
		flood bool
	}{
		"at once":            {0, false},
		"within a minute":    {59 * time.Second, false},
		"after two minutes":  {121 * time.Second, true},
		"more than there is": {0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := memoryPair()
				session, peer := newPeerOn(t, yamux.Client(near, yamux.Config{}), far)
				st := peer.open(session, 1)
				check(t, st.Reset())
				reading := async(func() error { _, err := io.Copy(io.Discard, far); return err })
				for waited := time.Duration(0); waited < tt.after; waited += time.Second {
					<-time.After(time.Second)
					peer.send(frame{typePing, flagSYN, 0, 1, ""}) // the session is alive
				}
				if name == "more than there is" {
					peer.send(data(1, 0, strings.Repeat("x", window)))
				}
				_, _ = far.Write(bytes.Repeat(late, frames))
				synctest.Wait()
				if got := session.Err() != nil; got != tt.flood {
					t.Errorf("the session has ended: %v; want %v", session.Err(), tt.flood)
				}
				session.Close()
				<-reading
			})
		})
	}
}

// They are not answered one by one either: the peer is told of the end anyway, and
// thousands of answers would be a flood to it.
func TestLateFramesAreNotAnswered(t *testing.T) {
	session, peer := newPeer(t, yamux.Client, yamux.Config{})
	st := peer.open(session, 1)
	check(t, st.CloseWrite())
	check(t, st.Reset())
	peer.want(update(1, flagFIN, 0), update(1, flagRST, 0))
	peer.sendBytes(bytes.Repeat(encode(data(1, 0, "x")), 5000))
	peer.wantNothing()
	if session.Err() != nil {
		t.Errorf("the session has ended: %v", session.Err())
	}
}

// The same holds for streams that were refused: the peer may send before it knows.
func TestLateFramesOfRefusedStream(t *testing.T) {
	var counters yamux.Counters
	session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, MaxStreams: 1, ControlBurst: 10, Counters: &counters})
	peer.accept(session, 1)
	for id := uint32(3); id < 203; id += 2 {
		peer.send(update(id, flagSYN, 0), data(id, 0, "hello"), update(id, flagFIN, 0))
		peer.want(update(id, flagRST, 0))
	}
	if n := counters.Refused.Load(); n != 100 {
		t.Errorf("%d refused streams were counted, want 100", n)
	}
	if session.Err() != nil {
		t.Errorf("the session has ended: %v", session.Err())
	}
}
