package yamux_test

import (
	"errors"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/yamux"
)

// A stream may be ended during PourTo and FillFrom. The other end then sees a failure
// or all bytes, and nothing is kept.
func TestEndWhileAttached(t *testing.T) {
	for name, end := range map[string]func(*attached, *yamux.Session){
		"Close":           func(a *attached, _ *yamux.Session) { _ = a.Close() },
		"Reset":           func(a *attached, _ *yamux.Session) { _ = a.Reset() },
		"the session end": func(_ *attached, s *yamux.Session) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 6 {
				budget := yamux.NewBudget(64 << 20)
				near, far := tcpPair(t)
				config := yamux.Config{Accept: true, Budget: budget}
				client, server := yamux.Client(near, config), yamux.Server(far, config)
				a, b := attachedPair(t, client, server)
				sending := async(func() error { _, _ = b.user.Write(make([]byte, 4<<20)); return nil })
				back := async(func() error { _, _ = a.user.Write(make([]byte, 4<<20)); return nil })
				ends := []<-chan error{async(a.pour), async(a.fill), async(b.pour), async(b.fill)}
				// In the middle of it.
				_, err := io.CopyN(io.Discard, a.user, int64(1+round*100_000))
				check(t, err)
				end(a, client)
				tell(a.readable)
				tell(a.writable)
				drained := async(func() error { _, err := io.Copy(io.Discard, a.user); return err })
				for i, ending := range ends {
					if err := wait(t, ending, "the end"); err == nil && i < 2 {
						t.Error("pouring or filling a stream that was ended ends well")
					}
					if i == 0 { // fill may wait for somebody who waits for us
						_, _ = a.user.Reset(), b.user.Reset()
						client.Close()
						server.Close()
					}
				}
				<-drained
				<-sending
				<-back
				_, _ = a.Close(), b.Close()
				if n := budget.Used(); n != 0 {
					t.Errorf("%d bytes are still counted", n)
				}
				_, _, _, _ = a.socket.Reset(), b.socket.Reset(), near.Reset(), far.Reset()
			}
		})
	}
}

// Pipes that nobody has read are given back with their stream.
func TestPipesOfDeadSession(t *testing.T) {
	for name, end := range map[string]func(*attached) error{
		"Close": func(a *attached) error { return a.Close() },
		"Reset": func(a *attached) error { return a.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			wantPipes(t)
			budget := yamux.NewBudget(64 << 20)
			session, peer := newPeer(t, yamux.Server, yamux.Config{Accept: true, Budget: budget})
			before := freePipes()
			var ends []*attached
			for i := range uint32(8) {
				ends = append(ends, attach(t, peer.accept(session, 2*i+1)))
				peer.send(data(2*i+1, 0, string(make([]byte, window))))
			}
			peer.sync()
			if freePipes() == before {
				t.Error("nothing came in pipes")
			}
			if n := budget.Used(); n != 8*window {
				t.Errorf("%d bytes are counted, want %d", n, 8*window)
			}
			_ = peer.conn.Reset()
			wait(t, session.Done(), "the end of the session")
			for _, a := range ends {
				check(t, end(a))
			}
			if n := budget.Used(); n != 0 {
				t.Errorf("%d bytes are still counted", n)
			}
		})
	}
}

// Pipes that wait to be sent are given back with their session.
func TestQueuedPipesOfDeadSession(t *testing.T) {
	wantPipes(t)
	before := freePipes()
	session, peer := newPeer(t, yamux.Server, accepting)
	var ends []*attached
	for i := range uint32(8) {
		ends = append(ends, attach(t, peer.accept(session, 2*i+1)))
		peer.send(update(2*i+1, 0, 64<<20))
	}
	peer.sync()
	var running []<-chan error
	for _, a := range ends {
		check(t, a.socket.SetReadBuffer(1<<20))
		running = append(running, async(func() error { _, err := io.Copy(a.user, endless{}); return err }))
		for streamErr := error(nil); streamErr == nil; {
			a.awaitQueued(100_000) // enough for a pipe
			_, _, streamErr, _ = a.fillOnce()
		}
	}
	if freePipes() == before {
		t.Error("nothing waits in pipes")
	}
	session.Close()
	for _, a := range ends {
		if _, _, streamErr, _ := a.fillOnce(); !errors.Is(streamErr, yamux.ErrSessionEnded) {
			t.Errorf("then FillFrom returns %v", streamErr)
		}
		_ = a.user.Reset()
	}
	for _, r := range running {
		<-r
	}
}
