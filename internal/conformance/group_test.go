package conformance_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/endpoint"
)

func roundRobin(o *relay.Options) { o.Balance = relay.BalanceRoundRobin }

// Members of a group share a port, and take users in turns.
func TestGroupInTurns(t *testing.T) {
	eachCrew(t, func(c *crew) {
		a, b, d := c.serve("a", roundRobin), c.serve("b", roundRobin), c.serve("d", roundRobin)
		if a.public != b.public || a.public != d.public {
			t.Fatalf("the public addresses are %s, %s and %s", a.public, b.public, d.public)
		}
		c.awaitMembers(3)
		c.wantCounts(c.counts(a.public, 30), map[*member]int{a: 10, b: 10, d: 10})
		if s := c.awaitMembers(3); s.Group != "web" || s.Name != "web" || s.Identity != "owner" || s.Users != 30 ||
			s.Members[0].Users != 10 || s.Members[1].Name != "b" {
			c.Errorf("the group is shown as %+v", s)
		}
	})
}

// A user goes to the member with the fewest, and users who stay long weigh as long.
func TestGroupLeastUsers(t *testing.T) {
	eachCrew(t, func(c *crew) {
		a, b := c.serve("a", nil), c.serve("b", nil)
		c.awaitMembers(2)
		first := c.counts(a.public, 10)
		c.wantCounts(first, map[*member]int{a: 5, b: 5})
		for _, conn := range first[b.name] {
			must(c.T, conn.Close())
		}
		c.await("the users of b to end", func(s endpoint.Snapshot) bool { return s.Members[1].Users == 0 })
		c.wantCounts(c.counts(a.public, 5), map[*member]int{b: 5})
		c.wantCounts(c.counts(a.public, 4), map[*member]int{a: 2, b: 2})
	})
}

// A member that is started again replaces itself, whatever became of its connections, and
// leaves the others alone.
func TestGroupMemberComesAgain(t *testing.T) {
	eachCrew(t, func(c *crew) {
		a, b := c.serve("a", nil), c.serve("b", nil)
		held := c.counts(a.public, 4)
		c.wantCounts(held, map[*member]int{a: 2, b: 2})
		again := c.serve("a", nil)
		if again.public != b.public {
			c.Errorf("it has %s, want %s", again.public, b.public)
		}
		c.await("it to take over", func(s endpoint.Snapshot) bool {
			return len(s.Members) == 2 && s.Members[0].Name == "a" && s.Members[0].Users == 0 && s.Members[1].Users == 2
		})
		c.awaitMembers(2)
		for _, conns := range held {
			for _, conn := range conns {
				echoes(c.T, conn) // those of the former process too
			}
		}
		if c.protocol == relay.Pool || c.protocol == relay.Event { // with multiplex it notices nothing
			a.refused.wait(c.T, "superseded")
		}
		c.wantCounts(c.counts(a.public, 2), map[*member]int{again: 2})
	})
}

// The last member takes the port along only when the lease is over.
func TestGroupOutlivesMembers(t *testing.T) {
	eachCrew(t, func(c *crew) {
		a, b := c.serve("a", nil), c.serve("b", nil)
		a.stop()
		c.awaitMembers(1)
		c.wantCounts(c.counts(a.public, 3), map[*member]int{b: 3})
		b.stop()
		c.await("the group to be away", func(s endpoint.Snapshot) bool { return !s.Served && !s.Until.IsZero() && s.Group == "web" })
		waiting, err := net.Dial("tcp", a.public)
		must(c.T, err)
		defer waiting.Close()
		d := c.serve("d", nil)
		if d.public != a.public {
			c.Errorf("a third one has %s, want %s", d.public, a.public)
		}
		must(c.T, d.greets(waiting.(*net.TCPConn)))
	})
}

// A relay that is started again has the port of a group, for the first member that comes. It
// decides what the others have to want.
func TestGroupOutlivesRelay(t *testing.T) {
	eachCrew(t, func(c *crew) {
		a, b := c.serve("a", nil), c.serve("b", nil)
		c.awaitMembers(2)
		c.stop()
		c.start()
		for _, m := range []*member{a, b} {
			if public := within(c.T, m.registered, "the forwarder to register again"); public != a.public {
				c.Errorf("after the restart it has %s, want %s", public, a.public)
			}
		}
		c.awaitMembers(2)
		c.wantCounts(c.counts(a.public, 4), map[*member]int{a: 2, b: 2})
		a.stop()
		b.stop()
		c.stop()
		c.start()
		few := c.serve("d", func(o *relay.Options) { o.Users = 7 })
		if few.public != a.public {
			c.Errorf("the first one after another restart has %s, want %s", few.public, a.public)
		}
		c.wantRefused(c.join("a", nil), "group-differs", "users (7 there, none here)")
	})
}

// wantRefused expects that the relay refuses a forwarder for good.
func (c *crew) wantRefused(m *member, code, text string) {
	c.Helper()
	err := within(c.T, m.ended, "the refusal")
	if refused := new(relay.RefusedError); !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Text, text) {
		c.Errorf("it ends with %v, want %s with %q", err, code, text)
	}
	m.ended <- nil
}

// Members have one policy, one balance and one port. One that differs is told in what, as
// long as others are there.
func TestGroupMembersDiffer(t *testing.T) {
	c := newCrew(t, relay.Multiplex)
	same := func(o *relay.Options) {
		o.Port, o.UsersPerSecond, o.Balance = c.ports.First, 50, relay.BalanceSource
	}
	a := c.serve("a", same)
	for what, change := range map[string]func(*relay.Options){
		"balance (source there, least here)":       func(o *relay.Options) { o.Balance = "" },
		"users-per-second (50 there, 51 here)":     func(o *relay.Options) { o.UsersPerSecond++ },
		"bytes-per-second (none there, 1000 here)": func(o *relay.Options) { o.BytesPerSecond = 1000 },
		"allow": func(o *relay.Options) { o.Allow = networks("192.0.2.0/24") },
		"deny":  func(o *relay.Options) { o.Deny = networks("192.0.2.0/24") },
		"port":  func(o *relay.Options) { o.Port++ },
	} {
		c.wantRefused(c.join("b", func(o *relay.Options) { same(o); change(o) }), "group-differs", what)
	}
	anyPort := c.serve("b", func(o *relay.Options) { same(o); o.Port = 0 })
	if anyPort.public != a.public {
		c.Errorf("one that asks for no port has %s, want %s", anyPort.public, a.public)
	}
	anyPort.stop()
	c.awaitMembers(1)
	// The only one may change its mind.
	moved := c.serve("a", func(o *relay.Options) { o.Port = c.ports.First + 1 })
	if moved.public == a.public {
		c.Errorf("it has %s still", moved.public)
	}
	c.serve("b", func(o *relay.Options) { o.Port = c.ports.First + 1 })
	c.awaitMembers(2)
}

// A tunnel whose owner makes it a group keeps its port, and so does a group that becomes a
// tunnel of that name, as long as nobody serves what was before.
func TestTunnelBecomesGroup(t *testing.T) {
	c := newCrew(t, relay.Multiplex)
	alone := func(o *relay.Options) { o.Group, o.Name = "", "web" }
	before := c.serve("alone", alone)
	c.await("the tunnel to be served", func(s endpoint.Snapshot) bool { return s.Served && s.Name == "web" && s.Members == nil })
	other := c.join("a", func(o *relay.Options) { o.KeepTrying = true })
	other.refused.wait(t, "in-use") // it is served, and has the name
	before.stop()
	if public := within(t, other.registered, "the group to have the port"); public != before.public {
		t.Errorf("the group has %s, want %s", public, before.public)
	}
	c.serve("b", nil)
	c.awaitMembers(2)
	c.join("alone", alone).refused.wait(t, "in-use")
}

// Without a token nobody knows who belongs together.
func TestGroupNeedsToken(t *testing.T) {
	own, _ := newCertificate(t)
	addr := startPatientRelay(t, own)
	err := relay.Forward(t.Context(), addr, "127.0.0.1:9", &relay.Options{Group: "web"})
	if refused := new(relay.RefusedError); !errors.As(err, &refused) || refused.Code != "bad-option" || !strings.Contains(refused.Text, `"group": it needs a token or a certificate`) {
		t.Errorf("it ends with %v", err)
	}
}

func networks(list ...string) (all []netip.Prefix) {
	for _, network := range list {
		all = append(all, netip.MustParsePrefix(network))
	}
	return all
}
