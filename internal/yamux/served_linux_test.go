package yamux_test

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/yamux"
)

// startLoop starts a loop that ends after whatever is made later.
func startLoop(tb testing.TB) *eventloop.Loop {
	tb.Helper()
	l, err := eventloop.Start()
	check(tb, err)
	tb.Cleanup(l.Close)
	return l
}

// serve has loop serve the session, and waits until it does.
func serve(tb testing.TB, s *yamux.Session, loop *eventloop.Loop) {
	tb.Helper()
	s.ServeOn(loop)
	for start := time.Now(); !s.Served(); runtime.Gosched() {
		if time.Since(start) > patience {
			tb.Fatal("the loop does not serve the session")
		}
	}
}

// served returns side for sessions that a loop serves.
func served(tb testing.TB, side func(yamux.Conn, yamux.Config) *yamux.Session) func(yamux.Conn, yamux.Config) *yamux.Session {
	tb.Helper()
	loop := startLoop(tb)
	return func(c yamux.Conn, config yamux.Config) *yamux.Session {
		s := side(c, config)
		serve(tb, s, loop)
		return s
	}
}

// The socket can be asked at any time, also while a loop takes it over.
func TestSocketOfServed(t *testing.T) {
	loop := startLoop(t)
	for range 300 {
		near, far := tcpPair(t)
		s := yamux.Client(near, accepting)
		done := make(chan error, 1)
		go func() {
			var err error
			for last := false; !last && err == nil; {
				last = s.Served()
				err = s.Control(func(uintptr) {})
			}
			done <- err
		}()
		serve(t, s, loop)
		err := <-done
		s.Close()
		_ = far.Reset()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A stream is a net.Conn like any other, also if loops serve both sessions.
func TestServedConn(t *testing.T) {
	client, server := served(t, yamux.Client), served(t, yamux.Server)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		near, far := tcpPair(t)
		opener, acceptor := client(near, accepting), server(far, accepting)
		stop = func() { opener.Close(); acceptor.Close() }
		if c1, err = opener.Open(t.Context()); err == nil {
			c2, err = acceptor.Accept(background)
		}
		return c1, c2, stop, err
	})
}

func TestServedBytes(t *testing.T) {
	wantPipes(t)
	near, far := tcpPair(t)
	client, server := served(t, yamux.Client)(near, accepting), served(t, yamux.Server)(far, accepting)
	t.Cleanup(func() { client.Close(); server.Close() })
	testAttachedBytes(t, client, server)
}

// What the connection did not take at once is written when it takes more, by a loop that
// was there from the beginning, and by one that has come meanwhile.
func TestServedWhileFull(t *testing.T) {
	for name, late := range map[string]bool{"loop": false, "late loop": true} {
		t.Run(name, func(t *testing.T) {
			loop := startLoop(t)
			session, peer := newPeer(t, yamux.Server, accepting)
			if !late {
				serve(t, session, loop)
			}
			streams := make(map[uint32]*yamux.Stream)
			for _, id := range []uint32{1, 3, 5} {
				streams[id] = peer.accept(session, id)
				peer.send(update(id, 0, 8<<20))
			}
			peer.sync()
			var writing []<-chan error
			for id, st := range streams {
				writing = append(writing, async(func() error {
					for said := pattern(byte(id), 0, 3<<20); len(said) > 0; {
						n := min(len(said), int(id)*(20<<10)-10_000) // some are copied, others not
						if _, err := st.Write(said[:n]); err != nil {
							return err
						}
						said = said[n:]
					}
					return nil
				}))
			}
			f, err := peer.receive() // more than the kernel holds is on its way
			check(t, err)
			if late {
				serve(t, session, loop)
			}
			heard := make(map[uint32][]byte)
			for total := len(f.body); ; total += len(f.body) {
				heard[f.stream] = append(heard[f.stream], f.body...)
				if total == 9<<20 {
					break
				}
				f, err = peer.receive()
				check(t, err)
			}
			for _, w := range writing {
				check(t, wait(t, w, "Write"))
			}
			for id := range streams {
				if !bytes.Equal(heard[id], pattern(byte(id), 0, 3<<20)) {
					t.Errorf("stream %d has other bytes", id)
				}
			}
		})
	}
}

// A session that a loop serves ends as any other: nothing looks complete, and the peer is
// told what it did.
func TestServedEnds(t *testing.T) {
	for name, end := range map[string]func(*yamux.Session, peer){
		"the peer's end":   func(_ *yamux.Session, p peer) { check(p, p.conn.CloseWrite()) },
		"the peer's reset": func(_ *yamux.Session, p peer) { check(p, p.conn.Reset()) },
		"protocol error": func(_ *yamux.Session, p peer) {
			p.sendBytes([]byte("this is no frame at all"))
			p.wantEnd(protocolError)
		},
		"Close": func(s *yamux.Session, p peer) {
			s.Close()
			p.wantEnd()
		},
		"Abort": func(s *yamux.Session, p peer) {
			aborting := async(func() error { s.Abort(); return nil })
			p.wantEnd(update(1, flagRST, 0))
			check(p, p.conn.Close())
			check(p, wait(p, aborting, "Abort"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			session, peer := newPeer(t, served(t, yamux.Server), accepting)
			st := peer.accept(session, 1)
			end(session, peer)
			_, err := st.Read(make([]byte, 1))
			wantSessionErr(t, "Read", err)
			wait(t, session.Done(), "the end of the session")
		})
	}
}

// The end of the connection, after everything was written, ends the session on both sides.
func TestServedDrain(t *testing.T) {
	session, peer := newPeer(t, served(t, yamux.Server), accepting)
	st := peer.accept(session, 1)
	peer.send(data(1, flagFIN, "bye"))
	if got, err := io.ReadAll(st); err != nil || string(got) != "bye" {
		t.Errorf("got %q, %v", got, err)
	}
	check(t, st.Close())
	peer.want(update(1, flagFIN, 0))
	draining := async(func() error { session.Drain(); return nil })
	peer.wantEnd()
	check(t, peer.conn.Close())
	check(t, wait(t, draining, "Drain"))
}

// stubborn is a connection that stays with the runtime's poller.
type stubborn struct{ *transport.Conn }

func (stubborn) Unwatch() error { return unix.EMFILE }

// A connection that no loop can watch goes on as before.
func TestNotServed(t *testing.T) {
	for name, pair := range map[string]func(testing.TB) (near yamux.Conn, far resettableConn){
		"short of descriptors": func(tb testing.TB) (yamux.Conn, resettableConn) {
			near, far := tcpPair(tb)
			return stubborn{near}, far
		},
		"no socket": func(tb testing.TB) (yamux.Conn, resettableConn) {
			near, far := memoryPair()
			return near, far
		},
	} {
		t.Run(name, func(t *testing.T) {
			loop := startLoop(t)
			near, far := pair(t)
			session, peer := newPeerOn(t, yamux.Server(near, accepting), far)
			for id := uint32(1); id < 20; id += 2 {
				session.ServeOn(loop)
				st := peer.accept(session, id)
				peer.send(data(id, flagFIN, "hello"))
				if got, err := io.ReadAll(st); err != nil || string(got) != "hello" {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			if session.Served() {
				t.Error("a loop serves the session")
			}
		})
	}
}
