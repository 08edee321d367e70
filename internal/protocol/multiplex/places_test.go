package multiplex_test

import (
	"errors"
	"io"
	"net/netip"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// A tunnel has as many sessions as it was granted, and the relay no more than it may.
func TestMostSessions(t *testing.T) {
	for name, c := range map[string]struct {
		relay          *multiplex.Relay
		asked, granted int
		further        int // that there can be
	}{
		"of the tunnel": {&multiplex.Relay{}, 3, 3, 2},
		"by default":    {&multiplex.Relay{}, 100, multiplex.MaxSessions, multiplex.MaxSessions - 1},
		"of a relay":    {&multiplex.Relay{MaxSessions: 2}, 3, 2, 1},
		"of all":        {&multiplex.Relay{MaxFurther: 1}, 3, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newSessions(t, c.relay, c.asked, c.granted)
			var last yamuxPeer
			for range c.further {
				last = r.add()
			}
			far, err := r.claim(owner, r.id)
			if !errors.Is(err, protocol.ErrFull) {
				t.Errorf("one more gets %v, want %v", err, protocol.ErrFull)
			}
			if got, err := io.ReadAll(far); err != nil || len(got) > 0 {
				t.Errorf("got %q, %v; want an end", got, err)
			}
			_ = last.conn.Reset()
			r.awaitMissing(c.granted - c.further)
			r.add()
		})
	}
}

// grant registers for a holder, asks for so many sessions, and returns how many are granted.
// End ends the tunnel.
func grant(t *testing.T, relay *multiplex.Relay, holder string, asked int) (granted int, end func()) {
	t.Helper()
	near, far := protocoltest.Pair(t)
	tunnel, err := relay.Register(near, protocol.Grant{Answer: wire.Answer{Port: 20001}, Holder: holder, Sessions: asked})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := wire.ReadAnswer(wire.NewReader(far))
	if err != nil || (answer.Sessions > 1) != (answer.Session != "") {
		t.Errorf("got %+v, %v", answer, err)
	}
	end = func() {
		_ = far.Reset() // Close would wait for it
		_ = tunnel.Close()
	}
	t.Cleanup(end)
	return max(answer.Sessions, 1), end
}

// What a tunnel was granted nobody else gets until it has ended, claimed or not. It is
// granted what there is.
func TestPlacesAreKept(t *testing.T) {
	relay := &multiplex.Relay{MaxFurther: 3}
	want := func(asked, want int) func() {
		t.Helper()
		granted, end := grant(t, relay, "", asked)
		if granted != want {
			t.Errorf("asked for %d, granted %d, want %d", asked, granted, want)
		}
		return end
	}
	endA := want(3, 3)
	endB := want(3, 2)
	endC := want(3, 1)
	endA()
	want(2, 2)
	endB()
	endC()
	want(9, 3)
}

// One holder has a quarter of all, and others do not suffer by it.
func TestPlacesOfOneHolder(t *testing.T) {
	relay := &multiplex.Relay{MaxFurther: 12}
	for _, c := range []struct {
		holder string
		want   int
	}{{"a", 3}, {"a", 2}, {"a", 1}, {"b", 3}, {"", 3}, {"", 3}, {"c", 3}} {
		granted, end := grant(t, relay, c.holder, 3)
		if granted != c.want {
			t.Errorf("%q is granted %d, want %d", c.holder, granted, c.want)
		}
		if c.holder == "b" {
			end()
		}
	}
}

// A tunnel has as many users on one session as on several, and no more on several.
func TestSessionsAreFull(t *testing.T) {
	counters := new(multiplex.Counters)
	r := newSessions(t, &multiplex.Relay{MaxStreams: 4, Counters: counters}, 2, 2)
	b := r.add()
	fill := func(users int) {
		t.Helper()
		for range users {
			open(t, r.tunnel)
		}
		if _, err := r.tunnel.Open(t.Context(), netip.AddrPort{}); !errors.Is(err, protocol.ErrNoStream) {
			t.Errorf("one user more gets %v, want %v", err, protocol.ErrNoStream)
		}
		if c := r.tunnel.(protocol.TryOpener).TryOpen(); c != nil {
			t.Error("one user more gets a stream at once")
		}
	}
	fill(4)
	_ = b.conn.Reset()
	r.awaitMissing(1)
	fill(2) // where those of the lost session were
	if n := counters.Refused.Load(); n != 2 {
		t.Errorf("%d streams were refused, want 2", n)
	}
}

// A claim that overtakes the first session leaves it its place.
func TestClaimBeforeFirst(t *testing.T) {
	for name, ends := range map[string]bool{"and stays": false, "and ends": true} {
		t.Run(name, func(t *testing.T) {
			relay := &multiplex.Relay{}
			near, far := protocoltest.Pair(t)
			claim := func(id string) (conn.Conn, error) {
				near, far := protocoltest.Pair(t)
				t.Cleanup(func() { _ = far.Reset() })
				return far, relay.Claim(near, owner, id)
			}
			tunnel, err := relay.Register(afterWrite{near, func() {
				answer, err := wire.ReadAnswer(wire.NewReader(far))
				if err != nil {
					t.Error(err)
				}
				early, err := claim(answer.Session)
				if err != nil {
					t.Errorf("the first claim gets %v", err)
				}
				if _, err := claim(answer.Session); !errors.Is(err, protocol.ErrFull) {
					t.Errorf("the second claim gets %v, want %v", err, protocol.ErrFull)
				}
				if ends {
					_ = early.Reset()
					for again, err := claim(answer.Session); errors.Is(err, protocol.ErrFull); again, err = claim(answer.Session) {
						_ = again.Reset()
					}
				}
			}}, protocol.Grant{Answer: wire.Answer{Port: 20001}, Owner: owner, Sessions: 2})
			if err != nil {
				t.Fatalf("the registration fails: %v", err)
			}
			if n := tunnel.(protocol.Claimable).ExpectedClaims(); n != 0 {
				t.Errorf("%d sessions are missing", n)
			}
			_ = far.Reset()
			_ = tunnel.Close()
		})
	}
}

// afterWrite has something happen after each write.
type afterWrite struct {
	conn.Conn
	then func()
}

func (c afterWrite) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.then()
	return n, err
}
