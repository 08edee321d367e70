package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// keyOf gives a lease key that is long enough, by a name.
func keyOf(name string) string { return name + strings.Repeat("-", 22) }

// as gives a registration with a lease key, from one process of its owner's. More
// lines may stand before the verb.
func as(key, instance string, more ...string) string {
	lines := append([]string{"+lease " + keyOf(key), "+instance " + instance}, more...)
	return strings.Join(lines, "\n") + "\nmultiplex\n"
}

// answer reads the answer to a registration: its last line, without the end.
func (r *relay) answer(conn *net.TCPConn) string {
	r.Helper()
	for answer := bufio.NewReader(conn); ; {
		line, err := answer.ReadString('\n')
		if err != nil {
			r.Fatalf("the answer is %q, %v", line, err)
		}
		if line[0] != '+' {
			return line[:len(line)-1]
		}
	}
}

// try registers, and gives the tunnel, or the code of the refusal.
func (r *relay) try(lines string) (tunnel *fakeTunnel, refusal string) {
	r.Helper()
	answer := r.answer(r.request(lines))
	if code, refused := strings.CutPrefix(answer, "-"); refused {
		code, _, _ = strings.Cut(code, " ")
		return nil, code
	}
	tunnel = <-r.fake.tunnels
	if strconv.Itoa(tunnel.port) != answer {
		r.Fatalf("the answer is %q, and the port is %d", answer, tunnel.port)
	}
	return tunnel, ""
}

// own registers an owner, who has to get a tunnel that takes users.
func (r *relay) own(lines string) *fakeTunnel {
	r.Helper()
	tunnel, refusal := r.try(lines)
	if tunnel == nil {
		r.Fatalf("%q is refused: %s", lines, refusal)
	}
	r.wantBehind(tunnel)
	return tunnel
}

// wantBehind waits until a tunnel is what users of its port come to. The user who sees
// that is gone then.
func (r *relay) wantBehind(tunnel *fakeTunnel) {
	r.Helper()
	users := int64(r.State().Users)
	u, client := r.join(tunnel)
	_, _ = u.Close(), client.Close()
	r.wantSoon("users", users, func() int64 { return int64(r.State().Users) })
}

// wantRefusal expects that a registration is refused, with this code.
func (r *relay) wantRefusal(lines, code string) {
	r.Helper()
	if _, refusal := r.try(lines); refusal != code {
		r.Errorf("%q is answered with %q, want %q", lines, refusal, code)
	}
}

// leave is the relay client going away. It waits until the relay knows.
func (r *relay) leave(tunnel *fakeTunnel) {
	r.Helper()
	tunnels := int64(r.State().Tunnels)
	tunnel.end()
	r.wantSoon("tunnels", tunnels-1, func() int64 { return int64(r.State().Tunnels) })
}

// known has relay clients be who their token says, of the identities given.
func known(identities ...auth.Identity) func(*server.Config) {
	return func(c *server.Config) {
		c.Identify = func(_ conn.Conn, token string) (auth.Identity, error) {
			for _, i := range identities {
				if i.Name == token {
					return i, nil
				}
			}
			return auth.Identity{}, fmt.Errorf("%w; %w", &wire.Refusal{Code: wire.CodeUnauthorized, Text: "who is this"}, auth.ErrUnauthorized)
		}
	}
}

// A name is one identity's own, and so is a lease key.
func TestEachIdentityHasItsOwn(t *testing.T) {
	r := start(t, known(auth.Identity{Name: "a"}, auth.Identity{Name: "b"}))
	a := r.own(as("same", "1", "+token a", "+name web"))
	b := r.own(as("same", "2", "+token b", "+name web"))
	if a.port == b.port {
		t.Errorf("both have port %d", a.port)
	}
	r.wantBehind(a)
	r.wantRefusal(as("other", "3", "+token a", "+name web"), wire.CodeInUse)
	r.wantRefusal(as("same", "4", "+token c"), wire.CodeUnauthorized)
	r.leave(a)
	again := r.own(as("same", "1", "+token a", "+name api"))
	if again.port != a.port {
		t.Errorf("another name has port %d, want %d", again.port, a.port)
	}
	r.own(as("other", "3", "+token a", "+name web")) // nobody's by now
	r.leave(again)
	if again := r.own(as("new", "4", "+token a", "+name api")); again.port != a.port { // its own, and only away
		t.Errorf("another key with the same name has port %d, want %d", again.port, a.port)
	}
}

// An identity has the ports that it may have, and asks for no others.
func TestPortsOfAnIdentity(t *testing.T) {
	ports := freePorts(t, 3)
	mine := port.Set{{First: ports.First, Last: ports.First}}
	r := start(t, known(auth.Identity{Name: "a", Ports: mine}, auth.Identity{Name: "b"}), func(c *server.Config) { c.Ports = ports })
	for _, number := range []int{ports.First + 1, 22, 65535} {
		r.wantRefusal(as("a", "1", "+token a", fmt.Sprintf("+port %d", number)), wire.CodeForbidden)
	}
	r.wantRefusal(as("b", "1", "+token b", fmt.Sprintf("+port %d", ports.First)), wire.CodeForbidden)
	for lines, want := range map[string]string{
		as("a", "1", "+token a", "+port 22"): fmt.Sprintf("port 22: it is none of %s", mine),
		as("b", "1", "+token b", "+port 22"): "leave out --port, or have ports= added",
	} {
		if got := r.refusal(lines); !strings.Contains(got, want) {
			t.Errorf("refused with %q, want %q in it", got, want)
		}
	}
	if a := r.own(as("a", "1", "+token a")); a.port != ports.First {
		t.Errorf("it has port %d, want %d", a.port, ports.First)
	}
	r.wantRefusal(as("second", "1", "+token a"), wire.CodeNoPort)
}

// watched is an identity that holds until the test says otherwise.
type watched struct{ ended chan func(error) }

func (w watched) watch(ended func(error)) (stop func()) {
	w.ended <- ended
	return func() {}
}

// Who is revoked loses tunnel, users and lease; who may do other things than before
// keeps the lease.
func TestRevocation(t *testing.T) {
	for name, c := range map[string]struct {
		reason error
		kept   bool
	}{
		"revoked": {fmt.Errorf("revoked"), false},
		"changed": {fmt.Errorf("%w: other ports", auth.ErrIdentityChanged), true},
	} {
		t.Run(name, func(t *testing.T) {
			w := watched{make(chan func(error), 2)}
			r := start(t, known(auth.Identity{Name: "a", Watch: w.watch}))
			tunnel := r.own(as("a", "1", "+token a"))
			u, _ := r.join(tunnel)
			(<-w.ended)(c.reason)
			conntest.WantReset(t, u)
			wantClosed(t, "the end of the tunnel", tunnel.closed)
			ports := int64(0)
			if c.kept {
				ports = 1
			}
			r.wantSoon("ports", ports, func() int64 { return int64(r.State().Ports) })
			if !c.kept {
				wantRefused(t, tunnel.port)
				return
			}
			if again := r.own(as("a", "1", "+token a")); again.port != tunnel.port {
				t.Errorf("it has port %d, want %d", again.port, tunnel.port)
			}
		})
	}
}

// An identity that is gone while nobody serves its port loses the port, too.
func TestIdentityEndsWhileAway(t *testing.T) {
	o := owners{make(chan func(error), 2), nil}
	r := start(t, known(auth.Identity{Name: "a"}), o.watched)
	tunnel := r.own(as("a", "1", "+token a"))
	tunnel.end()
	parked := next(t, "watch over the port", o.ended)
	r.wantSoon("ports", 1, func() int64 { return int64(r.State().Ports) })
	parked(errors.New("revoked"))
	r.wantSoon("ports", 0, func() int64 { return int64(r.State().Ports) })
	wantRefused(t, tunnel.port)
}

// owners are watched while they are away. Gone is why they may not keep a port, or
// nil.
type owners struct {
	ended chan func(error)
	gone  error
}

func (o *owners) watched(c *server.Config) {
	c.WatchOwner = func(_ string, _ int, ended func(error)) (stop func(), err error) {
		if o.gone != nil {
			return nil, o.gone
		}
		o.ended <- ended
		return func() {}, nil
	}
}

// A relay client that is served by then keeps the port, whichever owner is said to be gone.
func TestOwnerIsBackBeforeItIsKnown(t *testing.T) {
	o := owners{make(chan func(error), 2), nil}
	r := start(t, known(auth.Identity{Name: "a"}), o.watched)
	tunnel := r.own(as("a", "1", "+token a"))
	r.leave(tunnel)
	parked := next(t, "watch over the port", o.ended)
	again := r.own(as("a", "1", "+token a"))
	parked(errors.New("revoked"))
	r.join(again)
}

// What is said about an absence that is over by then is not about the next one.
func TestOwnerIsAwayAgain(t *testing.T) {
	o := owners{make(chan func(error), 2), nil}
	r := start(t, known(auth.Identity{Name: "a"}), o.watched)
	tunnel := r.own(as("a", "1", "+token a"))
	r.leave(tunnel)
	parked := next(t, "watch over the port", o.ended)
	again := r.own(as("a", "1", "+token a"))
	r.leave(again)
	next(t, "watch over the port", o.ended)
	parked(errors.New("revoked"))
	if last := r.own(as("a", "1", "+token a")); last.port != tunnel.port {
		t.Errorf("it has port %d, want %d", last.port, tunnel.port)
	}
}

// Nobody watches over a port that has ended while its owner was registering.
func TestPortEndsWhileItsOwnerRegisters(t *testing.T) {
	slow := slowRegister{newFakeProtocol(), make(chan int, 1), make(chan struct{})}
	ports := freePorts(t, 2)
	var watches atomic.Int64
	r := start(t, known(auth.Identity{Name: "a", Ports: port.Set{ports}}), func(c *server.Config) {
		use(c, "event", slow)
		c.WatchOwner = func(string, int, func(error)) (func(), error) {
			watches.Add(1)
			return sync.OnceFunc(func() { watches.Add(-1) }), nil
		}
	})
	conn := r.request("+token a\n+lease " + keyOf("a") + "\nevent\nnew\n")
	other := ports.First + ports.Last - <-slow.ports
	r.own(as("a", "2", "+token a", fmt.Sprintf("+port %d", other)))
	close(slow.goOn)
	_, _ = io.Copy(io.Discard, conn)
	wantClosed(t, "the end of the first tunnel", (<-slow.tunnels).closed)
	r.Close()
	if n := watches.Load(); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// An identity that may have its port no more when it leaves loses it. At the next start
// of the relay it does not have it either, but that start may be a mistake.
func TestIdentityMayNotKeepItsPort(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 3)
	o := owners{make(chan func(error), 2), nil}
	r := start(t, known(auth.Identity{Name: "a"}), o.watched, func(c *server.Config) { c.Leases, c.Ports = store, ports })
	stays := r.own(as("stays", "1", "+token a"))
	o.gone = errors.New("it is good for other ports now")
	leaves := r.own(as("leaves", "1", "+token a"))
	leaves.end()
	r.wantSoon("ports", 1, func() int64 { return int64(r.State().Ports) })
	wantRefused(t, leaves.port)
	r.join(stays)
	r.Close()
	r = start(t, known(auth.Identity{Name: "a"}), o.watched, func(c *server.Config) { c.Leases, c.Ports = store, ports })
	if n := r.State().Ports; n != 0 || store.len() != 1 {
		t.Errorf("%d ports are open, and %d leases kept; want none, and the one that may come back", n, store.len())
	}
}

// An old tunnel whose identity ends takes nothing from the newer one that is away.
func TestOldTunnelIsRevoked(t *testing.T) {
	w := watched{make(chan func(error), 10)}
	r := start(t, known(auth.Identity{Name: "a", Watch: w.watch}))
	old := r.own(as("a", "1", "+token a"))
	endOld := <-w.ended
	u, _ := r.join(old) // which stays
	newer := r.own(as("a", "2", "+token a"))
	wantClosed(t, "taking no more users", old.ended.Done())
	r.leave(newer)
	endOld(errors.New("revoked"))
	conntest.WantReset(t, u)
	if again := r.own(as("a", "2", "+token a")); again.port != newer.port {
		t.Errorf("it has port %d, want %d", again.port, newer.port)
	}
}

// A tunnel may be taken over from before it is known that anybody watches over its
// identity.
func TestTakeoverBeforeTheWatch(t *testing.T) {
	watching, goOn, unwatched := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var first sync.Once
	r := start(t, known(auth.Identity{Name: "a", Watch: func(func(error)) (stop func()) {
		stop = func() {}
		first.Do(func() {
			close(watching)
			<-goOn
			stop = sync.OnceFunc(func() { close(unwatched) })
		})
		return stop
	}}))
	old, refusal := r.try(as("a", "1", "+token a"))
	if old == nil {
		t.Fatal(refusal)
	}
	<-watching
	newer := r.own(as("a", "2", "+token a"))
	wantClosed(t, "the end of the old tunnel", old.closed)
	close(goOn)
	wantClosed(t, "the end of the watch", unwatched)
	r.join(newer)
}
