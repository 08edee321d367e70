package multiplex_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// Each user goes to the session that has the fewest.
func TestUsersAreSpread(t *testing.T) {
	r := newSessions(t, &multiplex.Relay{}, 3, 3)
	a := r.first
	onA := r.userOn(a, 1)
	b := r.add()
	c := r.add()
	onB := r.userOn(b, 1)
	r.userOn(c, 1)
	r.userOn(a, 3)
	_ = onB.Reset()
	b.want(frame{kind: typeWindow, flags: flagRST, stream: 1})
	r.userOn(b, 3)
	wantEcho(t, onA, a, 1)
}

// A session that is lost takes its own users along, and nobody else. Another one takes its
// place.
func TestOneSessionIsLost(t *testing.T) {
	for name, lose := range map[string]func(yamuxPeer){
		"FIN":     func(p yamuxPeer) { _ = p.conn.CloseWrite() },
		"reset":   func(p yamuxPeer) { _ = p.conn.Reset() },
		"garbage": func(p yamuxPeer) { conntest.Write(p.T, p.conn, "this is no frame at all") },
		"GO_AWAY with a reason": func(p yamuxPeer) {
			p.send(frame{kind: typeGoAway, length: 2})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newSessions(t, &multiplex.Relay{}, 2, 2)
			a := r.first
			onA := r.userOn(a, 1)
			b := r.add()
			onB := r.userOn(b, 1)
			lose(a)
			wantFailure(t, onA)
			r.awaitMissing(1)
			wantEcho(t, onB, b, 1)
			r.userOn(b, 3)
			r.userOn(r.add(), 1)
			if err := r.tunnel.Ended().Err(); err != nil {
				t.Errorf("the tunnel has ended: %v", err)
			}
		})
	}
}

// The tunnel ends with its last session, and its id means nothing any more.
func TestAllSessionsAreLost(t *testing.T) {
	relay := &multiplex.Relay{Ended: new(recent)}
	r := newSessions(t, relay, 2, 2)
	b := r.add()
	_ = r.first.conn.Reset()
	r.awaitMissing(1)
	_ = b.conn.Reset()
	protocoltest.WantEnded(t, r.tunnel)
	if _, err := r.tunnel.Open(t.Context(), netip.AddrPort{}); !errors.Is(err, protocol.ErrTunnelEnded) {
		t.Errorf("a new user gets %v, want %v", err, protocol.ErrTunnelEnded)
	}
	if c := r.tunnel.(protocol.TryOpener).TryOpen(); c != nil {
		t.Errorf("got %v from a tunnel that has ended", c)
	}
	far, err := r.claim(owner, r.id)
	if !errors.Is(err, protocol.ErrLate) {
		t.Errorf("a claim gets %v, want %v", err, protocol.ErrLate)
	}
	wantReset(t, far)
}

// A session whose relay client has vanished, and that its users leave, is not the one with
// room for all that come.
func TestVanishedSessionIsAvoided(t *testing.T) {
	r := newSessions(t, &multiplex.Relay{}, 2, 2) // the first one answers nothing
	b := r.add()
	left := open(t, r.tunnel) // on the first one
	r.userOn(b, 1)
	_ = left.Reset()
	onB := make(chan struct{})
	go func() {
		defer close(onB)
		if f, err := b.receive(); err != nil || f.flags&flagSYN == 0 {
			t.Errorf("the session that is left got %+v, %v", f, err)
		}
	}()
	for {
		_ = open(t, r.tunnel).Reset()
		select {
		case <-onB:
			return
		default:
			_ = pauseShortly(t.Context())
		}
	}
}

// Nobody joins a tunnel with a wrong id, or as somebody else.
func TestStrangersSession(t *testing.T) {
	r := newSessions(t, &multiplex.Relay{}, 4, 4)
	for _, claim := range [][2]string{{owner, "GUESSED"}, {owner, r.id + "A"}, {"another", r.id}, {"", r.id}} {
		far, err := r.claim(claim[0], claim[1])
		if !errors.Is(err, protocol.ErrUnknownID) {
			t.Errorf("%q as %q: got %v, want %v", claim[1], claim[0], err, protocol.ErrUnknownID)
		}
		wantReset(t, far)
	}
	r.userOn(r.first, 1)
	r.userOn(r.first, 3)
}

// A relay client that asks for one session, or for none, gets what it always got.
func TestOneSession(t *testing.T) {
	for asked := range 2 {
		near, far := protocoltest.Pair(t)
		tunnel, err := (&multiplex.Relay{}).Register(near, protocol.Grant{Answer: wire.Answer{Port: 20001}, Sessions: asked})
		if err != nil {
			t.Fatal(err)
		}
		conntest.WantRead(t, far, "20001\n")
		_ = far.Reset()
		_ = tunnel.Close()
	}
}

// A relay client that says on one session that it leaves takes no more users on any. Those
// whom it has go on.
func TestLeavesOnOneSession(t *testing.T) {
	r := newSessions(t, &multiplex.Relay{}, 2, 2)
	a := r.first
	onA := r.userOn(a, 1)
	b := r.add()
	onB := r.userOn(b, 1)
	b.send(frame{kind: typeGoAway})
	protocoltest.WantEnded(t, r.tunnel)
	if err := context.Cause(r.tunnel.Ended()); !errors.Is(err, protocol.ErrLeft) {
		t.Errorf("it has ended because of %v, want %v", err, protocol.ErrLeft)
	}
	wantEcho(t, onA, a, 1)
	wantEcho(t, onB, b, 1)
	if _, err := r.tunnel.Open(t.Context(), netip.AddrPort{}); !errors.Is(err, protocol.ErrTunnelEnded) {
		t.Errorf("a new user gets %v, want %v", err, protocol.ErrTunnelEnded)
	}
}

// A relay client that says so and ends that connection at once has left all the same: that
// session was not merely lost.
func TestLeavesAndEnds(t *testing.T) {
	for range 20 {
		r := newSessions(t, &multiplex.Relay{}, 2, 2)
		b := r.add()
		b.send(frame{kind: typeGoAway})
		_ = b.conn.Close()
		r.awaitMissing(1)
		if err := context.Cause(r.tunnel.Ended()); !errors.Is(err, protocol.ErrLeft) {
			t.Fatalf("it has ended because of %v, want %v", err, protocol.ErrLeft)
		}
	}
}

// After another relay client has taken over the users go on, and no session is added.
func TestSessionsStopAccepting(t *testing.T) {
	r := newSessions(t, &multiplex.Relay{}, 3, 3)
	a, b := r.first, r.add()
	onB := r.userOn(a, 1)
	onA := r.userOn(b, 1)
	protocol.StopAccepting(r.tunnel)
	far, err := r.claim(owner, r.id)
	if !errors.Is(err, protocol.ErrUnknownID) { // or ErrLate, with a memory
		t.Errorf("a claim gets %v, want %v", err, protocol.ErrUnknownID)
	}
	wantReset(t, far)
	wantEcho(t, onB, a, 1)
	wantEcho(t, onA, b, 1)
}

// Close resets the users of all sessions, and ends those, any number of times.
func TestCloseOfSessions(t *testing.T) {
	r := newSessions(t, &multiplex.Relay{}, 2, 2)
	a := r.first
	onA := r.userOn(a, 1)
	b := r.add()
	onB := r.userOn(b, 1)
	closed := make(chan error, 2)
	for range cap(closed) {
		go func() { closed <- r.tunnel.Close() }()
	}
	for _, session := range []yamuxPeer{a, b} {
		session.want(frame{kind: typeWindow, flags: flagRST, stream: 1})
		session.wantEnd()
		_ = session.conn.Close()
	}
	for range cap(closed) {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	wantFailure(t, onA)
	wantFailure(t, onB)
}

// What was written last arrives on each session.
func TestDrainOfSessions(t *testing.T) {
	r := newSessions(t, &multiplex.Relay{}, 2, 2)
	a := r.first
	onA := r.userOn(a, 1)
	b := r.add()
	onB := r.userOn(b, 1)
	last := make([]byte, 1000)
	for _, user := range []conn.Conn{onA, onB} {
		if _, err := user.Write(last); err != nil {
			t.Fatal(err)
		}
		if err := user.Close(); err != nil {
			t.Fatal(err)
		}
	}
	drained := make(chan struct{})
	go func() {
		protocol.Drain(r.tunnel)
		close(drained)
	}()
	for name, session := range map[string]yamuxPeer{"a": a, "b": b} {
		got := 0
		for ended := false; !ended; {
			f, err := session.receive()
			if err != nil {
				t.Fatalf("%s: %v after %d bytes", name, err, got)
			}
			got += len(f.body)
			ended = f.flags&flagFIN != 0
		}
		if got != len(last) {
			t.Errorf("%s: %d bytes have arrived", name, got)
		}
		session.send(frame{kind: typeWindow, flags: flagFIN, stream: 1})
		session.wantEnd()
		_ = session.conn.Close()
	}
	<-drained
}

// A user who comes when all sessions are lost, and not removed yet, is served by one that
// is added in that moment.
func TestUserWaitsForAnotherSession(t *testing.T) {
	r := newSessions(t, &multiplex.Relay{}, 2, 2)
	user := r.userOn(r.first, 1)
	lost, removed := make(chan struct{}), make(chan struct{})
	user.(interface{ OnEnd(func()) }).OnEnd(func() { close(lost); <-removed })
	_ = r.first.conn.Reset()
	<-lost
	opened := make(chan error, 1)
	ctx := &watchedContext{Context: t.Context(), waited: make(chan struct{})}
	go func() {
		_, err := r.tunnel.Open(ctx, netip.AddrPort{})
		opened <- err
	}()
	<-ctx.waited
	b := r.add()
	close(removed)
	if err := <-opened; err != nil {
		t.Errorf("the user gets %v", err)
	}
	b.want(frame{kind: typeWindow, flags: flagSYN, stream: 1})
}

// watchedContext tells when somebody first waits for it.
type watchedContext struct {
	context.Context
	waited chan struct{}
	once   sync.Once
}

func (c *watchedContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waited) })
	return c.Context.Done()
}

// Sessions come, go and are used at the same time.
func TestSessionsAtOnce(t *testing.T) {
	relay := &multiplex.Relay{}
	r := newSessions(t, relay, 4, 4)
	stop := make(chan struct{})
	ended := make(chan error, 4)
	go func() { // answers nothing, and lives as long as the test
		_, _ = io.Copy(io.Discard, r.first.conn)
		ended <- nil
	}()
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
				near, far := protocoltest.Pair(t)
				if err := relay.Claim(near, owner, r.id); err != nil && !errors.Is(err, protocol.ErrFull) {
					ended <- fmt.Errorf("claiming: %w", err)
					return
				}
				_ = far.Reset()
			}
		}()
	}
	for range 100 {
		user, err := r.tunnel.Open(t.Context(), netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		_ = user.Reset()
	}
	close(stop)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	_ = r.first.conn.Reset()
	protocoltest.WantEnded(t, r.tunnel)
}
