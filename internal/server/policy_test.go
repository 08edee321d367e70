package server_test

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/server"
)

// The policy that a relay client asks for holds, within that of its identity.
func TestPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		policy policy.Policy
		lines  []string
	}{
		"denied":              {policy.Policy{}, []string{"+deny 192.0.2.0/24"}},
		"not allowed":         {policy.Policy{}, []string{"+allow 198.51.100.0/24"}},
		"not by the identity": {policy.Policy{Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}, []string{"+allow 192.0.2.0/24"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, usersFrom("192.0.2.1"), known(auth.Identity{Name: "a", Policy: c.policy}))
			tunnel, refusal := r.try(as("a", "1", append(c.lines, "+token a")...))
			if tunnel == nil {
				t.Fatal(refusal)
			}
			r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
			wantTurnedAway(t, tunnel)
			r.wantCounted(admission.DeniedAddresses, 1)
		})
	}
}

func TestPolicyOfUsers(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		kind admission.Kind
	}{
		"at a time": {"+users 2", admission.UsersOfTunnel},
		"a second":  {"+users-per-second 1", admission.UsersPerSecondOfTunnel},
	} {
		t.Run(name, func(t *testing.T) {
			// Loopback is no exception, as it is for the relay's own limits.
			r := start(t)
			tunnel, refusal := r.try(as("a", "1", c.line))
			if tunnel == nil {
				t.Fatal(refusal)
			}
			since := time.Now()
			r.join(tunnel)
			r.join(tunnel)
			if c.kind == admission.UsersPerSecondOfTunnel {
				r.wantRate(tunnel, since, c.kind)
			} else {
				wantTurnedAway(t, tunnel)
				r.wantCounted(c.kind, 1)
			}
			other := r.own(as("b", "1")) // has users of its own
			r.join(other)
		})
	}
}

// All users of a tunnel move together as many bytes as its policy allows.
func TestPolicyOfBytes(t *testing.T) {
	const perSecond, sent = 200_000, 60_000
	r := start(t)
	tunnel := r.own(as("a", "1", fmt.Sprintf("+bytes-per-second %d", perSecond)))
	u, client := r.join(tunnel)
	since := time.Now()
	go func() { _, _ = u.Write(make([]byte, sent)) }()
	conntest.Read(t, client, sent)
	// The bytes of a tenth of a second go at once.
	if took, least := time.Since(since), 150*time.Millisecond; took < least || took > patience/2 {
		t.Errorf("%d bytes took %v, want some %v", sent, took, (sent-perSecond/10)*time.Second/perSecond)
	}
}

// The policy of a tunnel holds for users who came before it was there.
func TestPolicyOfUsersWhoWaited(t *testing.T) {
	const deny = "+deny 192.0.2.0/24"
	store, ports := newMemory(), freePorts(t, 3)
	config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
	waits := func(r *relay, tunnel *fakeTunnel) *net.TCPConn {
		u := user(t, tunnel)
		r.wantSoon("users who wait", 1, func() int64 { return int64(r.State().Waiting) })
		return u
	}
	r := start(t, config, usersFrom("192.0.2.1"))
	open := r.own(as("a", "1"))
	r.leave(open)
	u := waits(r, open)
	denied, _ := r.try(as("a", "2", deny)) // it has another policy now
	conntest.WantReset(t, u)
	r.wantCounted(admission.DeniedAddresses, 1)
	r.Close()

	r = start(t, config, usersFrom("192.0.2.1"))
	u = waits(r, denied) // the relay does not know the policy yet
	if tunnel, refusal := r.try(as("a", "2", deny)); tunnel == nil {
		t.Fatal(refusal)
	}
	conntest.WantReset(t, u)
}

// slowRegister is a protocol that takes its time to register.
type slowRegister struct {
	*fakeProtocol
	ports chan int
	goOn  chan struct{}
}

func (s slowRegister) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	s.ports <- g.Answer.Port
	<-s.goOn
	return s.fakeProtocol.Register(conn, g)
}

// The policy holds for a user who comes to a new port before its tunnel is there.
func TestPolicyOfTheFirstUser(t *testing.T) {
	slow := slowRegister{newFakeProtocol(), make(chan int, 1), make(chan struct{})}
	r := start(t, usersFrom("192.0.2.1"), func(c *server.Config) { use(c, "event", slow) })
	r.request("+deny 192.0.2.0/24\nevent\nnew\n")
	u := dial(t, net.JoinHostPort(loopback, strconv.Itoa(<-slow.ports)))
	r.wantSoon("users who wait", 1, func() int64 { return int64(r.State().Waiting) })
	close(slow.goOn)
	conntest.WantReset(t, u)
}

// Of users who have waited as many are served as the policy allows at a time.
func TestPolicyOfACrowdThatWaited(t *testing.T) {
	const waiting, most = 10, 3
	store, ports := newMemory(), freePorts(t, 3)
	config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
	r := start(t, config)
	tunnel := r.own(as("a", "1"))
	r.Close()
	r = start(t, config)
	for range waiting {
		user(t, tunnel)
	}
	r.wantSoon("users who wait", waiting, func() int64 { return int64(r.State().Waiting) })
	again, _ := r.try(as("a", "1", fmt.Sprintf("+users %d", most)))
	for range most {
		again.next(t).serve(t)
	}
	r.wantCounted(admission.UsersOfTunnel, waiting-most)
	r.wantSoon("users", most, func() int64 { return int64(r.State().Users) })
}

// A user whom the policy does not admit takes no place, also by waiting.
func TestPolicyOfStrangersWhoWaited(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 3)
	config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
	r := start(t, config)
	tunnel := r.own(as("a", "1"))
	r.Close()
	r = start(t, config)
	addr := net.JoinHostPort(loopback, strconv.Itoa(tunnel.port))
	for range 5 {
		dialFrom(t, "127.0.0.2", addr)
	}
	u := user(t, tunnel)
	for range 5 {
		dialFrom(t, "127.0.0.2", addr)
	}
	r.wantSoon("users who wait", 11, func() int64 { return int64(r.State().Waiting) })
	again, _ := r.try(as("a", "1", "+users 1", "+deny 127.0.0.2"))
	conntest.WantPair(t, u, again.next(t).serve(t))
	r.wantCounted(admission.DeniedAddresses, 10)
}

// The bound on users holds when all come in one moment.
func TestPolicyOfACrowd(t *testing.T) {
	const crowd = 60
	r := start(t, func(c *server.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} // each has a goroutine then
	})
	tunnel, _ := r.try(as("a", "1", "+users 1"))
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	var users []*net.TCPConn
	for range crowd {
		users = append(users, user(t, tunnel))
	}
	r.wantSoon("users who wait", crowd, func() int64 { return int64(r.State().Waiting) })
	for i, u := range users {
		go func() { _, _ = fmt.Fprintf(u, "PROXY TCP4 192.0.2.%d 192.0.2.200 1000 80\r\n", i+1) }()
	}
	tunnel.next(t)
	r.wantCounted(admission.UsersOfTunnel, crowd-1)
}

// A user whom the policy has admitted is not asked again when the owner is back with the
// same one.
func TestPolicyIsTheSame(t *testing.T) {
	r := start(t)
	lines := as("a", "1", "+users-per-second 1")
	tunnel, _ := r.try(lines)
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	since := time.Now()
	r.join(tunnel)
	r.join(tunnel) // as many as may come at once
	r.leave(tunnel)
	again, _ := r.try(lines)
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	r.wantRate(again, since, admission.UsersPerSecondOfTunnel)
}
