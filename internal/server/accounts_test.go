package server_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// onePort has a relay open one port and no other: an owner that comes back has it again.
func onePort(t *testing.T) func(*server.Config) {
	ports := freePorts(t, 1)
	return func(c *server.Config) { c.Ports = ports }
}

// waysBack are ways in which an owner gets a tunnel to its port again. The lines of the
// first registration have a key, or none.
var waysBack = map[string]struct {
	first, again string
	stays        bool // the first tunnel is there until another takes over
}{
	"no lease":              {first: "multiplex\n", again: "multiplex\n"},
	"no lease, other words": {first: "multiplex\n", again: "+users 100\n+users-per-second 100\n+bytes-per-second 100000000\nmultiplex\n"},
	"lease":                 {first: as("a", "1"), again: as("a", "1")},
	"lease, other words":    {first: as("a", "1"), again: as("a", "1", "+users 100", "+users-per-second 100", "+bytes-per-second 100000000")},
	"lease, other process":  {first: as("a", "1"), again: as("a", "2")},
	"takeover":              {first: as("a", "1"), again: as("a", "2"), stays: true},
	"takeover, other words": {first: as("a", "1"), again: as("a", "2", "+users 100", "+users-per-second 100", "+bytes-per-second 100000000"), stays: true},
}

// eachWayBack runs the test for each way of coming back: first has the first tunnel,
// and again gives one in its place.
func eachWayBack(t *testing.T, lines string, changes []func(*server.Config), test func(r *relay, first *fakeTunnel, again func() *fakeTunnel)) {
	for name, way := range waysBack {
		t.Run(name, func(t *testing.T) {
			r := start(t, append(changes, onePort(t))...)
			first, refusal := r.try(lines + way.first)
			if first == nil {
				t.Fatal(refusal)
			}
			r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
			test(r, first, func() *fakeTunnel {
				if !way.stays {
					r.leave(first)
				}
				second, refusal := r.try(lines + way.again)
				if second == nil {
					t.Fatal(refusal)
				}
				r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
				return second
			})
		})
	}
}

// Users of an earlier tunnel count until they have ended, however their owner has come
// back.
func TestUsersOutliveTheirTunnel(t *testing.T) {
	for name, c := range map[string]struct {
		lines   string
		changes []func(*server.Config)
		kind    admission.Kind
	}{
		"of a token": {"+token a\n", []func(*server.Config){
			known(auth.Identity{Name: "a", Policy: policy.Policy{Users: 2}}),
		}, admission.UsersOfTunnel},
		"of a token, from one address": {"+token a\n", []func(*server.Config){
			known(auth.Identity{Name: "a"}), usersFrom("192.0.2.1"), usersPerSource(2),
		}, admission.UsersPerSource},
		"of an address": {"", []func(*server.Config){usersFrom("192.0.2.1"), usersPerSource(2)}, admission.UsersPerSource},
	} {
		t.Run(name, func(t *testing.T) {
			eachWayBack(t, c.lines, c.changes, func(r *relay, first *fakeTunnel, again func() *fakeTunnel) {
				u, client := r.join(first)
				r.join(first)
				second := again()
				wantTurnedAway(r.T, second)
				r.wantCounted(c.kind, 1)
				_, _ = u.Close(), client.Close()
				r.wantSoon("users", 1, func() int64 { return int64(r.State().Users) })
				r.join(second)
				wantTurnedAway(r.T, second)
			})
		})
	}
}

func usersPerSource(n int) func(*server.Config) {
	return func(c *server.Config) { c.Limits.UsersPerSource = n }
}

// Rates go on where they were, also if no tunnel was there for a moment.
func TestRatesOutliveATunnel(t *testing.T) {
	for name, c := range map[string]struct {
		lines   string
		changes []func(*server.Config)
		kind    admission.Kind
	}{
		"of a token": {"+token a\n", []func(*server.Config){
			known(auth.Identity{Name: "a", Policy: policy.Policy{UsersPerSecond: 1}}),
		}, admission.UsersPerSecondOfTunnel},
		"of an address": {"", []func(*server.Config){
			usersFrom("192.0.2.1"), func(c *server.Config) { c.Limits.UsersPerSecond = 1 },
		}, admission.UsersPerSecond},
	} {
		t.Run(name, func(t *testing.T) {
			eachWayBack(t, c.lines, c.changes, func(r *relay, first *fakeTunnel, again func() *fakeTunnel) {
				since := time.Now()
				for range 2 {
					u, client := r.join(first)
					_, _ = u.Close(), client.Close()
				}
				r.wantSoon("users", 0, func() int64 { return int64(r.State().Users) })
				r.wantRate(again(), since, c.kind)
			})
		})
	}
}

// Users of two tunnels, one after the other, move together as many bytes as those of one.
func TestBytesOutliveATunnel(t *testing.T) {
	const perSecond, atOnce, sent = 20_000, 16 << 10, 16 << 10
	bound := policy.Policy{BytesPerSecond: perSecond}
	eachWayBack(t, "+token a\n", []func(*server.Config){known(auth.Identity{Name: "a", Policy: bound})},
		func(r *relay, first *fakeTunnel, again func() *fakeTunnel) {
			send := func(tunnel *fakeTunnel) {
				u := user(r.T, tunnel)
				client := tunnel.next(r).serve(r.T)
				conntest.Write(r.T, u, strings.Repeat("x", sent))
				conntest.Read(r.T, client, sent)
			}
			since := time.Now()
			send(first)
			send(again())
			// A moment may have passed before the first byte.
			least := (2*sent - atOnce) * time.Second / perSecond
			if took := time.Since(since); took < least*9/10 {
				r.Errorf("%d bytes took %v, want %v", 2*sent, took, least)
			}
		})
}

// A tunnel counts until its last user has ended, and its owner can have it again
// meanwhile: by a token without asking, by an address with the port's number.
func TestTunnelsCountUntilTheirUsersHaveEnded(t *testing.T) {
	for name, c := range map[string]struct {
		lines  string
		change func(*server.Config)
	}{
		"of a token":    {"+token a\n", known(auth.Identity{Name: "a", Tunnels: 1})},
		"of an address": {"", func(c *server.Config) { c.Limits.TunnelsPerSource = 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			ports := freePorts(t, 8)
			r := start(t, c.change, func(c *server.Config) { c.Ports = ports })
			register := func(more string) (*fakeTunnel, string) { return r.try(c.lines + more + "multiplex\n") }
			var clients []*transport.Conn
			tunnel, _ := register("")
			for range 3 {
				u, client := r.join(tunnel)
				clients = append(clients, client)
				r.leave(tunnel)
				if c.lines == "" { // an identity has its port without asking
					other := ports.First
					if other == tunnel.port {
						other++
					}
					r.wantRefusal(fmt.Sprintf("+port %d\nmultiplex\n", other), wire.CodeLimit)
					r.wantRefusal("multiplex\n", wire.CodeLimit)
					tunnel, _ = register(fmt.Sprintf("+port %d\n", tunnel.port))
				} else {
					again, refusal := register("")
					if again == nil || again.port != tunnel.port {
						t.Fatalf("it has %+v, want port %d; %s", again, tunnel.port, refusal)
					}
					tunnel = again
				}
				r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
				r.wantRefusal(c.lines+"multiplex\n", wire.CodeLimit)
				conntest.Write(t, u, "x")
				conntest.WantRead(t, client, "x")
			}
			r.leave(tunnel)
			for _, client := range clients {
				_ = client.Reset()
			}
			r.wantSoon("users", 0, func() int64 { return int64(r.State().Users) })
			for range 3 {
				if tunnel, refusal := register(""); tunnel == nil {
					t.Fatal(refusal)
				} else {
					r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
					r.leave(tunnel)
				}
			}
		})
	}
}

// A lease with users does not give way: it would go on to count.
func TestLeaseWithUsersDoesNotGiveWay(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Limits.TunnelsPerSource, c.EvictAfter = 2, 1 })
	used, unused := r.own(as("used", "1")), r.own(as("unused", "1"))
	r.join(used)
	r.leave(used)
	r.leave(unused)
	r.own(as("new", "1"))
	if again := r.own(as("used", "1")); again.port != used.port {
		t.Errorf("it has port %d, want %d", again.port, used.port)
	}
}

// A leased port that was restored counts against its owner's address once that is known,
// until its users have ended.
func TestRestoredLeaseCountsUntilItsUsersHaveEnded(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 4)
	config := func(c *server.Config) { c.Leases, c.Ports, c.Limits.TunnelsPerSource = store, ports, 2 }
	r := start(t, config)
	was := r.own(as("a", "1"))
	r.Close()
	r = start(t, config)
	tunnel := r.own(as("a", "1"))
	if tunnel.port != was.port {
		t.Fatalf("it has port %d, want %d", tunnel.port, was.port)
	}
	_, client := r.join(tunnel)
	r.own(as("a", "1", "+port "+strconv.Itoa(otherThan(was.port, ports.First, ports.Last)))) // which gives up the old one
	r.wantRefusal("multiplex\n", wire.CodeLimit)
	_ = client.Reset()
	r.wantSoon("users", 0, func() int64 { return int64(r.State().Users) })
	r.register()
}

func otherThan(port, a, b int) int {
	if port == a {
		return b
	}
	return a
}
