package server_test

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// Users who come while the owner is away wait for it, with all that they have said.
func TestUsersWaitForTheOwner(t *testing.T) {
	r := start(t)
	tunnel := r.own(as("a", "1"))
	r.leave(tunnel)
	const n = 5
	var users [n]*net.TCPConn
	for i := range users {
		users[i] = user(t, tunnel)
		conntest.Write(t, users[i], strconv.Itoa(i))
	}
	r.wantSoon("users who wait", n, func() int64 { return int64(r.State().Waiting) })
	again, refusal := r.try(as("a", "2"))
	if again == nil {
		t.Fatal(refusal)
	}
	if again.port != tunnel.port {
		t.Fatalf("the owner has port %d, want %d", again.port, tunnel.port)
	}
	for range users {
		client := again.next(t).serve(t)
		i := string(conntest.Read(t, client, 1))[0] - '0'
		conntest.WantPair(t, client, users[i])
	}
}

// A user whose tunnel ends before it is served waits for the next one.
func TestUserGoesOnWaiting(t *testing.T) {
	r := start(t)
	tunnel := r.own(as("a", "1"))
	u := user(t, tunnel)
	tunnel.next(t)
	r.leave(tunnel)
	again, _ := r.try(as("a", "2"))
	conntest.WantPair(t, u, again.next(t).serve(t))
}

// Nobody waits for ever, and no more than so many at a time.
func TestWaitForTheOwnerIsBounded(t *testing.T) {
	const wait = 500 * time.Millisecond // in which an owner's own user is served, on a busy machine too
	r := start(t, func(c *server.Config) { c.Limits.UserWait, c.Limits.Waiting = wait, 2 })
	tunnel := r.own(as("a", "1"))
	r.leave(tunnel)
	since := time.Now()
	var users []*net.TCPConn
	for range 4 { // two of whom the kernel keeps, until there is room
		users = append(users, user(t, tunnel))
	}
	r.wantSoon("users who wait", 2, func() int64 { return int64(r.State().Waiting) })
	for i, u := range users {
		conntest.WantReset(t, u)
		if took, turns := time.Since(since), time.Duration(1+i/2); took < turns*wait || took > patience/2 {
			t.Errorf("user %d is reset after %v, want %v", i, took, turns*wait)
		}
	}
	r.wantCounted(admission.UserWaits, 4)
	r.own(as("a", "2"))
}

// Who shows the key has the port at once, while the old relay client is there. Its
// users stay with it, and it gets no more.
func TestTakeover(t *testing.T) {
	r := start(t)
	old := r.own(as("a", "1"))
	u, client := r.join(old)
	newer, refusal := r.try(as("a", "2"))
	if newer == nil {
		t.Fatal(refusal)
	}
	if newer.port != old.port {
		t.Errorf("the newer has port %d, want %d", newer.port, old.port)
	}
	wantClosed(t, "the end of the old tunnel", old.ended.Done())
	r.join(newer)
	conntest.WantPair(t, u, client)
	select {
	case <-old.closed:
		t.Error("the old tunnel was closed while it had a user")
	case <-time.After(grace):
	}
	_ = u.CloseWrite()
	_ = client.CloseWrite()
	_, _ = io.ReadAll(u)
	r.join(newer) // the end of the old one does not end the port
}

// A user who waits while another takes over is served by that.
func TestTakeoverOfWhoWaits(t *testing.T) {
	r := start(t)
	old := r.own(as("a", "1"))
	u := user(t, old)
	old.next(t)
	newer, _ := r.try(as("a", "2"))
	conntest.WantPair(t, u, newer.next(t).serve(t))
}

// The same process takes over from itself, after its connection was lost and before
// the relay knows.
func TestTakeoverBySameInstance(t *testing.T) {
	r := start(t)
	r.own(as("a", "1"))
	for range 3 {
		r.own(as("a", "1"))
	}
}

// Of those who come at once with one key that is new, all get one port.
func TestOneKeyAtOnce(t *testing.T) {
	const n = 20
	r := start(t, func(c *server.Config) { c.Ports = freePorts(t, n) })
	var conns []*net.TCPConn
	for i := range n {
		conns = append(conns, r.request(as("a", strconv.Itoa(i))))
	}
	ports := make(map[string]int)
	for _, conn := range conns {
		ports[r.answer(conn)]++
	}
	if len(ports) != 1 {
		t.Errorf("they are answered by %v, want one port", ports)
	}
	r.wantSoon("ports", 1, func() int64 { return int64(r.State().Ports) })
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
}

// Who was taken over from is kept out while the newer one is there, and no longer.
func TestSuperseded(t *testing.T) {
	r := start(t)
	old := r.own(as("a", "1"))
	newer := r.own(as("a", "2"))
	wantClosed(t, "the end of the old tunnel", old.ended.Done())
	r.wantRefusal(as("a", "1"), wire.CodeSuperseded)
	again := r.own(as("a", "2")) // it comes again
	newest := r.own(as("a", "3"))
	wantClosed(t, "the end of the newer tunnel", newer.ended.Done())
	wantClosed(t, "the end of the one after it", again.ended.Done())
	r.wantRefusal(as("a", "1"), wire.CodeSuperseded)
	r.wantRefusal(as("a", "2"), wire.CodeSuperseded)
	r.leave(newest)
	if again := r.own(as("a", "1")); again.port != old.port {
		t.Errorf("it has port %d, want %d", again.port, old.port)
	}
}

// Another key does not get the port, whether its owner is there or not.
func TestPortIsItsOwners(t *testing.T) {
	r := start(t)
	tunnel := r.own(as("a", "1"))
	asked := fmt.Sprintf("+port %d", tunnel.port)
	r.wantRefusal(as("b", "1", asked), wire.CodePortTaken)
	r.leave(tunnel)
	r.wantRefusal(as("b", "1", asked), wire.CodePortTaken)
	r.wantRefusal(asked+"\nmultiplex\n", wire.CodePortTaken)
	if again := r.own(as("a", "2", asked)); again.port != tunnel.port {
		t.Errorf("it has port %d, want %d", again.port, tunnel.port)
	}
}

// When a lease is over its port is closed, and who waits there is reset.
func TestLeaseEnds(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Lease = 200 * time.Millisecond })
	tunnel := r.own(as("a", "1"))
	<-time.After(300 * time.Millisecond) // it does not end while its owner is there
	r.join(tunnel)
	waits := user(t, tunnel)
	tunnel.next(t)
	r.leave(tunnel)
	conntest.WantReset(t, waits)
	r.wantSoon("ports", 0, func() int64 { return int64(r.State().Ports) })
	wantRefused(t, tunnel.port)
	r.own(as("a", "1"))
}

// A lease does not end while its owner, who has come, is about to be served. It goes
// on from there if that fails.
func TestLeaseDoesNotEndUnderItsOwner(t *testing.T) {
	const keep = time.Second
	slow := slowProtocol{newFakeProtocol(), make(chan protocol.Grant), make(chan struct{})}
	r := start(t, func(c *server.Config) {
		c.Lease = keep
		use(c, "pool", slow)
		use(c, "event", brokenProtocol{})
	})
	over := func(verb string) string { return strings.Replace(as("a", "1"), "multiplex\n", verb+"\nnew\n", 1) }

	tunnel := r.own(as("a", "1"))
	r.leave(tunnel)
	r.request(over("pool"))
	if got := <-slow.asked; got.Answer.Port != tunnel.port {
		t.Fatalf("the owner has port %d, want %d", got.Answer.Port, tunnel.port)
	}
	<-time.After(keep + keep/4) // the lease would be over
	slow.proceed <- struct{}{}
	again := <-slow.tunnels
	r.join(again)

	r.leave(again)
	waits := user(t, tunnel)
	if got, err := io.ReadAll(r.request(over("event"))); len(got) > 0 || err == nil {
		t.Fatalf("got %q, %v; want a reset", got, err)
	}
	conntest.WantReset(t, waits)
	r.wantSoon("ports", 0, func() int64 { return int64(r.State().Ports) })
}

// An owner who asks for another port moves there, and gives the old one up.
func TestOwnerMoves(t *testing.T) {
	ports := freePorts(t, 2)
	r := start(t, func(c *server.Config) { c.Ports = ports })
	for _, number := range []int{ports.First, ports.Last, ports.First} {
		tunnel := r.own(as("a", "1", fmt.Sprintf("+port %d", number)))
		if tunnel.port != number {
			t.Errorf("it has port %d, want %d", tunnel.port, number)
		}
		r.wantSoon("ports", 1, func() int64 { return int64(r.State().Ports) })
	}
}

// A relay client that makes a new key at each start leaves a lease behind each time. It
// does not shut itself out, and no active lease gives way to it.
func TestOldestLeaseGivesWay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*server.Config)
		token  string
	}{
		"of an address":  {func(c *server.Config) { c.Limits.TunnelsPerSource, c.EvictAfter = 3, 1 }, ""},
		"of an identity": {known(auth.Identity{Name: "a", Tunnels: 3}), "+token a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, c.change, func(c *server.Config) { c.Ports = freePorts(t, 10) })
			own := func(key string) *fakeTunnel { return r.own(c.token + as(key, key)) }
			serves := own("serves")
			oldest, second := own("oldest"), own("second")
			r.leave(oldest)
			r.leave(second)
			if third := own("third"); third.port != oldest.port {
				wantRefused(t, oldest.port)
			}
			if again := own("second"); again.port != second.port {
				t.Errorf("a younger lease has port %d, want %d", again.port, second.port)
			}
			r.wantRefusal(c.token+as("fourth", "4"), wire.CodeLimit) // all three are there
			r.join(serves)
		})
	}
}

// That a network has as many tunnels as it may is nobody's own lease's fault.
func TestFullNetworkEndsNoLease(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Limits.TunnelsPerNetwork, c.EvictAfter = 2, 1
		c.Ports = freePorts(t, 5)
	})
	mine := r.own(as("mine", "1"))
	r.leave(mine)
	neighbor := dialFrom(t, "127.0.0.9", r.addr)
	conntest.Write(t, neighbor, "multiplex\n")
	r.answer(neighbor)
	<-r.fake.tunnels
	r.wantRefusal(as("other", "2"), wire.CodeLimit)
	if again := r.own(as("mine", "3")); again.port != mine.port {
		t.Errorf("the lease has port %d, want %d", again.port, mine.port)
	}
}

// One who was taken over from gets nothing by asking for another port, nor when the
// newer one has moved.
func TestSupersededAsksForAnotherPort(t *testing.T) {
	ports := freePorts(t, 3)
	at := func(number int) string { return fmt.Sprintf("+port %d", number) }
	r := start(t, func(c *server.Config) { c.Ports = ports })
	r.own(as("a", "1", at(ports.First)))
	newer := r.own(as("a", "2", at(ports.Last)))
	r.wantRefusal(as("a", "1", at(ports.First)), wire.CodeSuperseded)
	r.wantRefusal(as("a", "1"), wire.CodeSuperseded)
	r.join(newer)
	newer = r.own(as("a", "2", at(ports.First+1)))
	r.wantRefusal(as("a", "1"), wire.CodeSuperseded)
	r.join(newer)
}
