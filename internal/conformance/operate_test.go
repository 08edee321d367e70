package conformance_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/history"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// What the operator of a relay sees is so, and what the operator does has the effect that it
// should have, at both ends, with every protocol.

// operated is a relay as its operator has it, and a forwarder.
type operated struct {
	pairingTunnel
	*node.Admin
	relayAddr, local string
	protocol         relay.Protocol
	keys             relay.KeyStore
	events           eventSink
	stopForwarder    func()
}

// eventSink has the ends of users, and what becomes of tunnels.
type eventSink chan observe.Event

func (s eventSink) Observe(e observe.Event) {
	if e.Name != observe.UserJoined && e.Name != observe.TunnelStateChanged {
		s <- e
	}
}

// next returns the next event of that name.
func (s eventSink) next(t *testing.T, name observe.Name) observe.Event {
	t.Helper()
	for {
		if e := within(t, s, "the event "+string(name)); e.Name == name {
			return e
		}
	}
}

func eachOperated(t *testing.T, test func(t *testing.T, o *operated)) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) { test(t, startOperated(t, protocol)) })
}

func startOperated(t *testing.T, protocol relay.Protocol) *operated {
	t.Helper()
	o := &operated{
		pairingTunnel: pairingTunnel{pairing: &pairing{wants: make(map[[tokenSize]byte]chan *net.TCPConn)}},
		protocol:      protocol, keys: relay.FileKeys(t.TempDir()), events: make(eventSink, 1000),
	}
	past := history.New()
	s, err := node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999}, Limits: admission.Limits{TunnelsPerSource: -1},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Sinks:  []observe.Sink{past, o.events},
	})
	must(t, err)
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // its error says only that it was closed
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	o.Admin = node.NewAdmin(node.AdminConfig{Server: s, History: past, Host: "127.0.0.1", Drain: func() {}})
	o.relayAddr, o.local = l.Addr().String(), serveLocal(t, o.handle)
	o.forward(t)
	return o
}

// forward starts a forwarder, which comes back as the one before.
func (o *operated) forward(t *testing.T) {
	t.Helper()
	o.tunnel = &tunnel{registered: make(chan string, 100)}
	registered := o.registered
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- relay.Forward(ctx, o.relayAddr, o.local, with(o.protocol, relay.Options{
			Drain: -1, Keys: o.keys, Name: "web", KeepTrying: true, OnRegister: func(public net.Addr) { registered <- public.String() },
		}))
	}()
	o.stopForwarder = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Forward: %v", err)
		}
	})
	t.Cleanup(o.stopForwarder)
	o.public = within(t, registered, "the forwarder to register")
}

// tunnelNow returns the only tunnel, once it is as wanted.
func (o *operated) tunnelNow(t *testing.T, wanted func(api.Tunnel) bool) api.Tunnel {
	t.Helper()
	var last []api.Tunnel
	until(t, func() bool {
		last = o.Tunnels()
		return len(last) == 1 && wanted(last[0])
	}, func() any { return last })
	return last[0]
}

// until waits until something is so, and fails with what it is if that takes too long.
func until(t *testing.T, isSo func() bool, is func() any) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for since := time.Now(); !isSo(); <-again.C {
		if time.Since(since) > patience {
			t.Fatalf("it is still %+v", is())
		}
	}
}

// wantUserReset expects that a new user is reset, perhaps while connecting.
func wantUserReset(t *testing.T, public string) {
	t.Helper()
	conn, err := net.Dial("tcp", public)
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(patience)) // fails as the read does
		_, err = io.ReadAll(conn)
		_ = conn.Close()
	}
	if !isReset(err) {
		t.Errorf("a user gets %v, want a reset", err)
	}
}

// wantReset expects that a connection is reset without a byte.
func wantReset(t *testing.T, whose string, conn net.Conn) {
	t.Helper()
	if got, err := io.ReadAll(conn); !isReset(err) || len(got) > 0 {
		t.Errorf("the %s reads %q, %v; want a reset", whose, got, err)
	}
}

// wantAlive expects that bytes go both ways.
func wantAlive(t *testing.T, one, other net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{one, other}, {other, one}} {
		if _, err := way[0].Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(way[1], make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// While users are joined their bytes are seen, and when they have ended the sums stay.
func TestOperatorSeesBytes(t *testing.T) {
	eachOperated(t, func(t *testing.T, o *operated) {
		const sent, received = 1 << 20, 300_000
		user, server := o.pair(t)
		other, otherServer := o.pair(t)
		var transfer sync.WaitGroup
		transfer.Go(func() { _, _ = user.Write(make([]byte, received-tokenSize)) }) // as the reader sees
		transfer.Go(func() { _, _ = server.Write(make([]byte, sent)) })
		if _, err := io.ReadFull(server, make([]byte, received-tokenSize)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(user, make([]byte, sent)); err != nil {
			t.Fatal(err)
		}
		transfer.Wait()
		var users []api.User
		until(t, func() bool { // a count follows its bytes
			users = o.Users("", 10)
			return len(users) == 2 && users[0].Received == received && users[0].Sent == sent && users[1].Received == tokenSize
		}, func() any { return users })
		for i, conn := range []net.Conn{user, other} {
			if users[i].Address != conn.LocalAddr().String() || users[i].Since.IsZero() {
				t.Errorf("the user from %v is %+v", conn.LocalAddr(), users[i])
			}
		}
		tun := o.tunnelNow(t, func(tun api.Tunnel) bool { return tun.Received == received+tokenSize && tun.Sent == sent })
		if tun.Users != 2 || tun.Connections != 2 || tun.Name != "web" || tun.Public != o.public || tun.Opened == nil || tun.RelayClient == "" {
			t.Errorf("the tunnel is %+v", tun)
		}
		if users[0].Tunnel != tun.ID || len(o.Users(tun.ID, 10)) != 2 || len(o.Users(tun.ID, 1)) != 1 || len(o.Users("t999", 10)) != 0 {
			t.Errorf("the users of tunnel %s are %+v", tun.ID, o.Users(tun.ID, 10))
		}
		_ = user.Close()
		_ = server.Close()
		_ = other.Close()
		_ = otherServer.Close()
		for range 2 {
			o.events.next(t, observe.UserDone)
		}
		until(t, func() bool { return o.Status().Users == 0 }, func() any { return o.Status() })
		status := o.Status()
		if status.Tunnels != 1 || status.Connections != 2 || status.Received != received+tokenSize || status.Sent != sent {
			t.Errorf("the status is %+v", status)
		}
		for _, e := range o.Ended(tun.ID, 10) {
			if !e.Joined || e.Tunnel != tun.ID || e.Name != "web" || e.DurationSeconds <= 0 || e.EndedBy != "user" && e.EndedBy != "server" {
				t.Errorf("an end is %+v", e)
			}
		}
		if n := len(o.Ended("", 10)); n != 2 {
			t.Errorf("%d connections have ended, want 2", n)
		}
	})
}

// One user is reset, at both ends, and no other.
func TestOperatorEndsUser(t *testing.T) {
	eachOperated(t, func(t *testing.T, o *operated) {
		user, server := o.pair(t)
		other, otherServer := o.pair(t)
		var users []api.User
		until(t, func() bool { users = o.Users("", 10); return len(users) == 2 }, func() any { return users })
		must(t, o.EndUser(users[0].ID))
		wantReset(t, "user", user)
		wantReset(t, "server", server)
		e := o.events.next(t, observe.UserDone)
		if e.EndedBy != observe.ByRelay || e.How != "ended_by_operator" || e.Err != nil || e.User.String() != user.LocalAddr().String() {
			t.Errorf("the event is %+v", e)
		}
		if ended := o.Ended("", 1); len(ended) != 1 || ended[0].How != "ended_by_operator" || ended[0].EndedBy != "relay" || ended[0].Received != tokenSize {
			t.Errorf("the last end is %+v", ended)
		}
		for _, id := range []string{users[0].ID, "", "u0", "u999", "t1", "1"} {
			if err := o.EndUser(id); !errors.Is(err, admin.ErrUnknown) {
				t.Errorf("%q: got %v", id, err)
			}
		}
		wantAlive(t, other, otherServer)
	})
}

// A paused tunnel resets new users and leaves those alone who are joined, also after its
// relay client has come back.
func TestOperatorPauses(t *testing.T) {
	eachOperated(t, func(t *testing.T, o *operated) {
		user, server := o.pair(t)
		id := o.tunnelNow(t, func(tun api.Tunnel) bool { return tun.Users == 1 }).ID
		must(t, o.Pause(id), o.Pause(id))
		wantUserReset(t, o.public)
		if e := o.events.next(t, observe.UserReset); e.Reason != observe.Paused {
			t.Errorf("the event is %+v", e)
		}
		wantAlive(t, user, server)
		tun := o.tunnelNow(t, func(tun api.Tunnel) bool { return tun.State == api.Paused })
		before := o.public
		o.stopForwarder()
		o.events.next(t, observe.TunnelClosed)
		o.forward(t)
		if again := o.tunnelNow(t, func(tun api.Tunnel) bool { return tun.RelayClient != "" }); o.public != before || again.ID != tun.ID || again.State != api.Paused {
			t.Errorf("after the relay client is back at %s the tunnel is %+v", o.public, again)
		}
		wantUserReset(t, o.public)
		must(t, o.Resume(id), o.Resume(id))
		user, server = o.pair(t)
		wantAlive(t, user, server)
		paused := slices.DeleteFunc(o.Ended(id, 100), func(e api.Ended) bool { return e.Joined })
		if len(paused) != 2 || paused[0].Reason != "paused" || paused[1].Reason != "paused" {
			t.Errorf("who was not joined is %+v", paused)
		}
		if !errors.Is(o.Pause("t999"), admin.ErrUnknown) || !errors.Is(o.Resume("u1"), admin.ErrUnknown) {
			t.Error("a tunnel that is unknown can be paused or resumed")
		}
	})
}

// A tunnel that is closed ends with its lease and its users. Its relay client registers
// again.
func TestOperatorClosesTunnel(t *testing.T) {
	eachOperated(t, func(t *testing.T, o *operated) {
		user, server := o.pair(t)
		tun := o.tunnelNow(t, func(tun api.Tunnel) bool { return tun.Users == 1 })
		must(t, o.CloseTunnel(tun.ID))
		wantReset(t, "user", user)
		wantReset(t, "server", server)
		seen := make(map[observe.Name]observe.Event)
		for len(seen) < 3 {
			e := within(t, o.events, "the ends of the tunnel, its lease and its user")
			switch e.Name {
			case observe.TunnelClosed, observe.LeaseEnded, observe.UserDone:
				seen[e.Name] = e
			}
		}
		const want = "closed_by_operator"
		if e := seen[observe.UserDone]; e.EndedBy != observe.ByRelay || e.How != want {
			t.Errorf("the user's event is %+v", e)
		}
		for _, name := range []observe.Name{observe.TunnelClosed, observe.LeaseEnded} {
			if e := seen[name]; e.Reason != want {
				t.Errorf("the event is %+v", e)
			}
		}
		if err := o.CloseTunnel(tun.ID); !errors.Is(err, admin.ErrUnknown) {
			t.Errorf("closing it again: %v", err)
		}
		o.public = within(t, o.registered, "the forwarder to register again")
		user, server = o.pair(t)
		wantAlive(t, user, server)
		if again := o.tunnelNow(t, func(api.Tunnel) bool { return true }); again.ID == tun.ID {
			t.Errorf("another tunnel has the ID %s again", tun.ID)
		}
		if ended := o.Ended(tun.ID, 10); len(ended) != 1 || ended[0].How != want {
			t.Errorf("the ends of the tunnel that is gone are %+v", ended)
		}
	})
}

// A source that is banned is served neither as a user nor as a relay client, until the ban
// is lifted.
func TestOperatorBans(t *testing.T) {
	eachOperated(t, func(t *testing.T, o *operated) {
		user, server := o.pair(t)
		o.tunnelNow(t, func(tun api.Tunnel) bool { return tun.Users == 1 })
		source := netip.MustParsePrefix("127.0.0.1/32")
		must(t, o.Ban(source, time.Hour))
		wantReset(t, "user", user)
		wantReset(t, "server", server)
		if e := o.events.next(t, observe.UserDone); e.EndedBy != observe.ByRelay || e.How != "banned_by_operator" {
			t.Errorf("the event is %+v", e)
		}
		if bans := o.Bans(); len(bans) != 1 || bans[0].Source != "127.0.0.1" || time.Until(bans[0].Until) > time.Hour {
			t.Errorf("the bans are %+v", bans)
		}
		o.tunnelNow(t, func(tun api.Tunnel) bool { return tun.State == api.Away })
		wantUserReset(t, o.public)
		if e := o.events.next(t, observe.UserReset); e.Reason != observe.BannedByOperator {
			t.Errorf("the event is %+v", e)
		}
		answer, err := net.Dial("tcp", o.relayAddr)
		if err == nil {
			_ = answer.SetDeadline(time.Now().Add(patience)) // fails as the write does
			_, _ = io.WriteString(answer, "multiplex\n")     // it may have been reset
			var got []byte
			got, err = io.ReadAll(answer)
			_ = answer.Close()
			if err == nil && (len(got) < 10 || string(got[:10]) != "-shut-out ") {
				t.Errorf("a relay client is told %q", got)
			}
		}
		if err != nil && !isReset(err) {
			t.Error(err)
		}
		must(t, o.Unban(source))
		if err := o.Unban(source); !errors.Is(err, admin.ErrUnknown) {
			t.Errorf("lifting the ban again: %v", err)
		}
		o.public = within(t, o.registered, "the forwarder to register again")
		user, server = o.pair(t)
		wantAlive(t, user, server)
	})
}
