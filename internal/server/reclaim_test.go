package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// only gives an identity that may have one port, and asks for it by its number.
func only(name string, number int) auth.Identity {
	return auth.Identity{Name: name, Ports: port.Set{{First: number, Last: number}}}
}

// Who has lost the lease key of a token, and has the token, has the port at once, and
// a user who waits there is served. It does not matter how it asks for it.
func TestLostKey(t *testing.T) {
	for name, c := range map[string]struct {
		may     func(*auth.Identity)
		lines   string // what it asks for, with the port in place of %d
		noLease bool
	}{
		"no wish":                  {},
		"one tunnel":               {may: func(i *auth.Identity) { i.Tunnels = 1 }},
		"its port":                 {lines: "+port %d\n"},
		"its name":                 {lines: "+name web\n"},
		"its port without a lease": {lines: "+port %d\n", noLease: true},
		"nothing without a lease":  {noLease: true},
	} {
		t.Run(name, func(t *testing.T) {
			store, ports := newMemory(), freePorts(t, 1)
			me := only("a", ports.First)
			if c.may != nil {
				c.may(&me)
			}
			config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
			r := start(t, known(me), config)
			r.leave(r.own(as("lost", "1", "+token a", "+name web")))
			waits := user(t, &fakeTunnel{port: ports.First})
			r.wantSoon("users who wait", 1, func() int64 { return int64(r.State().Waiting) })
			lines := c.lines
			if strings.Contains(lines, "%d") {
				lines = fmt.Sprintf(lines, ports.First)
			}
			lines = "+token a\n" + lines
			if !c.noLease {
				lines += "+lease " + keyOf("new") + "\n"
			}
			again, refusal := r.try(lines + "multiplex\n")
			if again == nil {
				t.Fatalf("it is refused: %s", refusal)
			}
			if c.noLease {
				conntest.WantReset(t, waits)
				return
			}
			conntest.WantPair(t, waits, again.next(t).serve(t))
			r.Close()
			r = start(t, known(me), config)
			if kept, _ := store.Load(); len(kept) != 1 || kept[0].Key != lease.KeyOf("a", keyOf("new")) {
				t.Errorf("%+v is kept, want the new key alone", kept)
			}
			r.own(as("new", "2", "+token a"))
		})
	}
}

// What gives way is what was left alone for longest. What somebody else has left does
// not, and neither does who is there.
func TestLostKeyOfMany(t *testing.T) {
	ports := freePorts(t, 3)
	two := auth.Identity{Name: "a", Ports: port.Set{{First: ports.First, Last: ports.First + 1}}}
	other := only("b", ports.Last)
	r := start(t, known(two, other), func(c *server.Config) { c.Ports = ports })
	first, second := r.own(as("1", "1", "+token a")), r.own(as("2", "2", "+token a"))
	r.leave(r.own(as("b", "1", "+token b")))
	r.leave(second)
	r.leave(first)
	for _, want := range []*fakeTunnel{second, first} {
		if got := r.own(as(fmt.Sprint("new", want.port), "3", "+token a")); got.port != want.port {
			t.Errorf("it has port %d, want %d", got.port, want.port)
		}
	}
	r.wantRefusal(as("more", "4", "+token a"), wire.CodeNoPort)
	if b := r.own(as("b", "1", "+token b")); b.port != ports.Last {
		t.Errorf("another one has port %d, want %d", b.port, ports.Last)
	}
}

// One who moves to a port that another lease of the same token has left, and takes its
// name, has both.
func TestOwnerMovesToWhatItLeft(t *testing.T) {
	ports := freePorts(t, 2)
	me := auth.Identity{Name: "a", Ports: port.Set{ports}}
	r := start(t, known(me), func(c *server.Config) { c.Ports = ports })
	at := func(number int) string { return fmt.Sprintf("+port %d", number) }
	r.leave(r.own(as("left", "1", "+token a", "+name web", at(ports.First))))
	r.own(as("mine", "2", "+token a", at(ports.Last)))
	moved := r.own(as("mine", "2", "+token a", "+name web", at(ports.First)))
	if moved.port != ports.First {
		t.Errorf("it has port %d, want %d", moved.port, ports.First)
	}
	r.wantSoon("ports", 1, func() int64 { return int64(r.State().Ports) })
}

// An owner that is refused because the same token is in use learns from where and since
// when. Of others nobody learns anything.
func TestWhoHasTheOwnPort(t *testing.T) {
	ports := freePorts(t, 1)
	me, other := only("a", ports.First), only("b", ports.First)
	me.Tunnels = 2
	r := start(t, known(me, other), func(c *server.Config) { c.Ports = ports })
	since := time.Now().Add(-time.Second)
	conn := r.request(as("first", "1", "+token a", "+name web"))
	r.answer(conn)
	tunnel := <-r.fake.tunnels
	r.wantBehind(tunnel)
	from := seen(conn)
	at := fmt.Sprintf("+port %d", ports.First)
	for lines, code := range map[string]string{
		as("second", "2", "+token a"):              wire.CodeNoPort,
		as("second", "2", "+token a", at):          wire.CodeInUse,
		as("second", "2", "+token a", "+name web"): wire.CodeInUse,
		"+token a\n" + at + "\nmultiplex\n":        wire.CodeInUse,
		as("second", "2", "+token b", at):          wire.CodePortTaken,
		as("first", "2", "+token b", "+name web"):  wire.CodeNoPort,
	} {
		got := r.refusal(lines)
		if !strings.HasPrefix(got, "-"+code+" ") {
			t.Errorf("%q is answered by %q, want %s", lines, got, code)
		}
		if mine := strings.Contains(lines, "+token a"); strings.Contains(got, from) != mine {
			t.Errorf("%q is answered by %q; the address of who has it is %s", lines, got, from)
		} else if mine {
			_, at, _ := strings.Cut(got, ", since ")
			when, err := time.Parse(time.RFC3339, at)
			if err != nil || when.Before(since.Truncate(time.Second)) || when.After(time.Now()) {
				t.Errorf("%q is answered by %q, want since when", lines, got)
			}
		}
	}
	r.wantBehind(tunnel)
}

// So does who has no tunnel left.
func TestWhoHasTheOnlyTunnel(t *testing.T) {
	r := start(t, known(auth.Identity{Name: "a", Tunnels: 1}))
	conn := r.request(as("first", "1", "+token a"))
	r.answer(conn)
	r.wantBehind(<-r.fake.tunnels)
	got := r.refusal(as("second", "2", "+token a"))
	if !strings.HasPrefix(got, "-limit ") || !strings.Contains(got, seen(conn)) {
		t.Errorf("it is answered by %q, want limit, and who has the tunnel", got)
	}
}
