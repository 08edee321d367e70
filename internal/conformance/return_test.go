package conformance_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay"
)

// A forwarder that comes back, for whatever reason it or the relay was away, gets the
// promised port within the promised time. It serves the users who wait there. Users who
// were joined before live on or are reset, as is documented. Its limits are those that are
// left.

// whoComesBack is a kind of identity.
type whoComesBack struct {
	name        string
	token       bool
	onePort     bool // its token is good for one port alone
	certificate bool
}

func (w whoComesBack) isKnown() bool { return w.token || w.certificate }

var comeBack = []whoComesBack{
	{name: "nobody in particular"},
	{name: "token", token: true},
	{name: "token of one port", token: true, onePort: true},
	{name: "certificate", certificate: true},
}

// wayBack is one of the ways to be away, and to come back.
type wayBack struct {
	name string
	// back has it come back, and returns what serves from then on. It calls away while
	// no forwarder serves the port, if that takes longer than a moment.
	back func(h *home, first *served, away func()) *served
	// lostKey is set if it comes back with another key.
	lostKey bool
	// joined is set if users who were joined before live on.
	joined bool
	// same reports whether it has the same port.
	same func(whoComesBack) bool
	// within is by when it has it, on a busy machine too.
	within time.Duration
	// only are those for whom there is this way; nil is all.
	only func(whoComesBack) bool
}

func always(whoComesBack) bool { return true }

// soon is for what happens at once, and later for what waits for the next try of the
// forwarder, or for the relay to look at its tokens, each of which is seconds.
const soon, later = 10 * time.Second, 30 * time.Second

var waysBack = []wayBack{
	{name: "takeover", joined: true, same: always, within: soon, back: func(h *home, _ *served, _ func()) *served {
		// The second forwarder knows its port a moment before it has it.
		second := h.serve("key", "web")
		for since := time.Now(); ; {
			user, err := second.greet(h.T, second.public)
			if user != nil { // not reset by the relay while it connected
				must(h.T, errors.Join(user.SetLinger(0), user.Close())) // reset: the server would not end it
			}
			if err == nil {
				return second
			}
			if time.Since(since) > soon {
				h.Fatal(err)
			}
		}
	}},
	{name: "restart of the forwarder", same: always, within: soon, back: func(h *home, first *served, away func()) *served {
		first.stop()
		away()
		return h.serve("key", "web")
	}},
	{name: "restart of the relay", same: always, within: later, back: func(h *home, first *served, _ func()) *served {
		h.stop()
		h.start(h.ports, true)
		return first
	}},
	{name: "start of the relay with other ports", same: always, within: later, back: func(h *home, first *served, _ func()) *served {
		h.mistake(first, true)
		return first
	}},
	{name: "start of the relay without identities", same: always, within: later, only: whoComesBack.isKnown, back: func(h *home, first *served, _ func()) *served {
		h.mistake(first, false)
		return first
	}},
	{name: "port in use at the start of the relay", same: always, within: later, back: func(h *home, first *served, _ func()) *served {
		h.stop()
		other, err := net.Listen("tcp", first.public)
		must(h.T, err)
		h.start(h.ports, true)
		first.refused.wait(h.T, "not-open")
		_ = other.Close()
		return first
	}},
	{name: "new key", lostKey: true, same: func(w whoComesBack) bool { return w.onePort }, within: later, back: func(h *home, first *served, away func()) *served {
		first.stop()
		away()
		return h.serve("another", "")
	}},
	{name: "new key, same name", lostKey: true, same: always, within: later, only: whoComesBack.isKnown, back: func(h *home, first *served, away func()) *served {
		first.stop()
		away()
		return h.serve("another", "web")
	}},
	{name: "new secret", same: always, within: later, only: func(w whoComesBack) bool { return w.token }, back: func(h *home, first *served, _ func()) *served {
		h.changeSecret()
		return first
	}},
}

// TestReturn combines all kinds and ways.
func TestReturn(t *testing.T) {
	for _, who := range comeBack {
		for _, way := range waysBack {
			if way.only != nil && !way.only(who) {
				continue
			}
			t.Run(who.name+"/"+way.name, func(t *testing.T) {
				t.Parallel() // it waits, mostly
				eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
					t.Parallel()
					testReturn(t, who, way, protocol)
				})
			})
		}
	}
}

func testReturn(t *testing.T, who whoComesBack, way wayBack, protocol relay.Protocol) {
	h := newHome(t, who, protocol)
	first := h.serve("key", "web")
	had := first.public
	joined := first.use(t, had)
	var waits *net.TCPConn
	seesReset := func() {
		t.Helper()
		if _, err := joined.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("a user who was joined before sees %v, want a reset", err)
		}
		joined = nil
	}
	got := way.back(h, first, func() {
		// The relay gives a user who comes before that to the forwarder that is gone.
		seesReset()
		// A pool counts as there for some seconds, in which another key is refused, and
		// the pause before the next try may be longer than a user waits.
		if way.same(who) && (!way.lostKey || protocol != relay.Pool) {
			waits = dial(t, had)
		}
	})
	if got == first {
		got.public = within(t, got.registered, "the forwarder to come back")
	}
	if took := time.Since(h.since); took > way.within {
		t.Errorf("it is back after %v, want %v", took, way.within)
	}
	if (got.public == had) != way.same(who) {
		t.Errorf("it is back at %s, and was at %s", got.public, had)
	}
	free := mostUsers
	if way.joined {
		first.wantEcho(t, joined)
		free--
	} else if joined != nil {
		seesReset()
	}
	if waits != nil {
		got.wantServed(t, waits)
		free--
	}
	for range free {
		got.use(t, got.public)
	}
	if _, err := got.greet(t, got.public); !isReset(err) {
		t.Errorf("one user too many sees %v, want a reset", err)
	}
}

// TestReturnWithoutLease has no port kept, but an identity with a single port gets it
// again. A pool stays for a while after its last connection.
func TestReturnWithoutLease(t *testing.T) {
	for _, who := range comeBack {
		if who.certificate {
			continue // which nobody shows by hand
		}
		for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Event} {
			t.Run(who.name+"/"+string(protocol), func(t *testing.T) {
				h := newHome(t, who, protocol)
				had, conn := h.registerByHand(t)
				_ = conn.Close()
				wantClosed(t, had)
				if again, _ := h.registerByHand(t); who.onePort && again != had {
					t.Errorf("it has %s, and had %s", again, had)
				}
			})
		}
	}
}

// wantClosed expects that a port is closed soon.
func wantClosed(t *testing.T, public string) {
	t.Helper()
	for since := time.Now(); ; {
		conn, err := net.Dial("tcp", public)
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Since(since) > soon {
			t.Fatalf("%s stays open", public)
		}
	}
}
