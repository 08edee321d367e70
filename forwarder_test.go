package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// running is a forwarder that runs until the test ends.
type running struct {
	*relay.Forwarder
	public net.Addr               // of its first registration
	events chan relay.TunnelEvent // after that
}

// run runs a forwarder, and waits for its registration.
func run(t *testing.T, relayAddr, local string, options *relay.Options) *running {
	t.Helper()
	r := &running{events: make(chan relay.TunnelEvent, 1000)}
	full := *options
	full.Drain = -1
	full.OnEvent = func(e relay.TunnelEvent) { r.events <- e }
	var err error
	if r.Forwarder, err = relay.NewForwarder(relayAddr, local, &full); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	r.public = r.event(t, "tunnel_opened").Public
	return r
}

// event waits for an event of that name, and drops those before it.
func (r *running) event(t *testing.T, name string) relay.TunnelEvent {
	t.Helper()
	for {
		if e := within(t, r.events, name); e.Name == name {
			return e
		}
	}
}

// until waits for a state, asking now and then.
func (r *running) until(t *testing.T, what string, holds func(relay.ForwarderState) bool) relay.ForwarderState {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		s := r.State()
		if holds(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain for %s: %+v", what, s)
		}
	}
}

// use connects as a user who ends with the test.
func use(t *testing.T, public net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", public.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// turnedAway connects as a user who is reset, perhaps before Dial returns, and returns what
// the user sees.
func turnedAway(public net.Addr) error {
	c, err := net.Dial("tcp", public.String())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, err = c.Read(make([]byte, 1))
	return err
}

// bounce sends a message, and waits until all of it has come back.
func bounce(t *testing.T, c net.Conn, message string) {
	t.Helper()
	if _, err := io.WriteString(c, message); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != message {
		t.Fatalf("%q has come back as %q: %v", message, got, err)
	}
}

// localConn is a connection of the forwarder's to the local server.
type localConn struct {
	net.Conn
	ended chan error // with what its echo has ended, or nil
}

// echoing runs an echo server, and hands on its connections.
func echoing(t *testing.T) (addr string, conns <-chan localConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted, ended := make(chan localConn, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			local := localConn{c, make(chan error, 1)}
			accepted <- local
			go func() {
				_, err := io.Copy(c, struct{ io.Reader }{c})
				_ = c.Close()
				local.ended <- err
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String(), accepted
}

func TestForwarderStateBeforeRun(t *testing.T) {
	f, err := relay.NewForwarder("relay.test:8080", "localhost:80", &relay.Options{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	s := f.State()
	if s.Relay != "relay.test:8080" || s.LocalServer.Addr != "localhost:80" || s.Name != "web" || s.Protocol != relay.Multiplex {
		t.Errorf("it is for %s, %s, %s, %s", s.Relay, s.LocalServer.Addr, s.Name, s.Protocol)
	}
	if s.Registered || s.Public != nil || s.Err != nil || s.Since.IsZero() || !s.Paused.IsZero() || s.Draining {
		t.Errorf("before Run the state is %+v", s)
	}
	if users := f.Users(10); len(users) > 0 || f.EndUser(1) {
		t.Errorf("before Run there are users: %v", users)
	}
}

func TestRunAgain(t *testing.T) {
	f, err := relay.NewForwarder(nobody(t), "127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := f.Run(ctx); err == nil {
		t.Error("a forwarder was run twice")
	}
	if s := f.State(); !s.Draining || s.Registered {
		t.Errorf("after Run the state is %+v", s)
	}
}

// The state says that the relay is away, and why, and that it is back.
func TestForwarderStateWithoutItsRelay(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		server := relaytest.Start(t)
		f := run(t, server.Addr(), nobody(t), options)
		before := f.State()
		if !before.Registered || before.Err != nil || before.Public != f.public || before.Relay != server.Addr() {
			t.Fatalf("the state of a registered forwarder is %+v", before)
		}
		server.Close()
		if e := f.event(t, "tunnel_closed"); e.Reason != "relay_lost" || e.Err == nil || e.Public != f.public {
			t.Errorf("the loss of the relay is %+v", e)
		}
		// A relay that closes may reset the first attempts.
		for !errors.Is(f.event(t, "registration_failed").Err, syscall.ECONNREFUSED) {
		}
		away := f.State()
		if away.Registered || !errors.Is(away.Err, syscall.ECONNREFUSED) || away.Since.Before(before.Since) || away.Public != f.public || away.RoundTrip != 0 {
			t.Errorf("the state is %+v", away)
		}
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		public := f.event(t, "tunnel_opened").Public
		back := f.State()
		if !back.Registered || back.Err != nil || back.Public != public || back.Since.Before(away.Since) {
			t.Errorf("the state is %+v", back)
		}
	})
}

// A refusal is in the state, and Reload has the forwarder try again at once.
func TestForwarderStateOfARefusal(t *testing.T) {
	addr, shown := refusing(t, "-unauthorized no")
	events := make(chan relay.TunnelEvent, 1000)
	f, err := relay.NewForwarder(addr, "127.0.0.1:1", &relay.Options{
		KeepTrying: true, OnEvent: func(e relay.TunnelEvent) { events <- e },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	for range 5 { // with pauses of 16 seconds on average from the third on
		within(t, shown, "a registration")
		if e := within(t, events, "a refusal"); e.Name != "request_refused" || e.Code != "unauthorized" {
			t.Errorf("the event is %+v", e)
		}
		refused := new(relay.RefusedError)
		if s := f.State(); s.Registered || !errors.As(s.Err, &refused) || refused.Code != "unauthorized" {
			t.Errorf("the state is %+v", s)
		}
		if err := f.Reload(); err != nil {
			t.Errorf("Reload: %v", err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Reload reports a token that cannot be read, and a forwarder that is registered stays so.
func TestReloadReadsTheToken(t *testing.T) {
	said := make(chan error, 1)
	options := &relay.Options{TokenSource: func() (string, error) {
		select {
		case err := <-said:
			return "", err
		default:
			return "token", nil
		}
	}}
	f := run(t, relaytest.Start(t).Addr(), nobody(t), options)
	if err := f.Reload(); err != nil {
		t.Errorf("Reload: %v", err)
	}
	gone := errors.New("the file is gone")
	said <- gone
	if err := f.Reload(); !errors.Is(err, gone) {
		t.Errorf("Reload: %v, want that the file is gone", err)
	}
	if s := f.State(); !s.Registered {
		t.Errorf("the state is %+v", s)
	}
}

// Bytes are seen while they move, and are the same in the end.
func TestForwarderUsers(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		local, _ := echoing(t)
		f := run(t, relaytest.Start(t).Addr(), local, options)
		first := use(t, f.public)
		bounce(t, first, "12345")
		second := use(t, f.public)
		bounce(t, second, "1")
		if _, err := io.WriteString(first, "67"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(first, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		s := f.until(t, "all bytes to be counted", func(s relay.ForwarderState) bool { return s.Sent == 8 })
		if s.Users != 2 || s.Connections != 2 || s.Received != 8 || s.Waiting != 0 {
			t.Errorf("the state is %+v", s)
		}
		users := f.Users(10)
		if len(users) != 2 || len(f.Users(1)) != 1 {
			t.Fatalf("the users are %+v, and at most one of them %+v", users, f.Users(1))
		}
		for i, want := range []struct {
			c     net.Conn
			bytes int64
		}{{first, 7}, {second, 1}} {
			u := users[i]
			if u.Addr.String() != want.c.LocalAddr().String() || u.Received != want.bytes || u.Sent != want.bytes || u.Since.IsZero() {
				t.Errorf("user %d is %+v, want %s with %d bytes", i, u, want.c.LocalAddr(), want.bytes)
			}
		}
		_ = first.Close()
		done := f.event(t, "user_done")
		if done.Received != 7 || done.Sent != 7 || done.EndedBy != "user" || done.User.String() != first.LocalAddr().String() {
			t.Errorf("the end of the first user is %+v", done)
		}
		if s := f.State(); s.Users != 1 || s.Connections != 2 || s.Received != 8 || s.Sent != 8 {
			t.Errorf("the state is %+v", s)
		}
	})
}

// EndUser resets the user and the local server, and no other user.
func TestEndUser(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		local, conns := echoing(t)
		f := run(t, relaytest.Start(t).Addr(), local, options)
		ended, stays := use(t, f.public), use(t, f.public)
		bounce(t, ended, "x")
		bounce(t, stays, "x")
		var id uint64
		for _, u := range f.Users(10) {
			if u.Addr.String() == ended.LocalAddr().String() {
				id = u.ID
			}
		}
		if !f.EndUser(id) {
			t.Fatalf("there is no user %d among %+v", id, f.Users(10))
		}
		if _, err := ended.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the user sees %v, want a reset", err)
		}
		if e := f.event(t, "user_done"); e.EndedBy != "relay_client" || e.How != "ended_by_operator" || e.User.String() != ended.LocalAddr().String() {
			t.Errorf("the event is %+v", e)
		}
		first, second := within(t, conns, "a local connection"), within(t, conns, "a local connection")
		select {
		case err := <-first.ended:
			assertReset(t, err)
		case err := <-second.ended:
			assertReset(t, err)
		case <-time.After(patience):
			t.Fatal("the local server is not reset")
		}
		bounce(t, stays, "y")
		if f.EndUser(id) {
			t.Error("a user was ended twice")
		}
	})
}

func assertReset(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the local server sees %v, want a reset", err)
	}
}

// A paused forwarder resets those who come, and leaves those alone who are there.
func TestPause(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		local, _ := echoing(t)
		f := run(t, relaytest.Start(t).Addr(), local, options)
		joined := use(t, f.public)
		bounce(t, joined, "x")
		f.Pause()
		f.event(t, "tunnel_paused")
		since := f.State().Paused
		f.Pause()
		if s := f.State(); s.Paused.IsZero() || s.Paused != since || !s.Registered {
			t.Errorf("the state is %+v", s)
		}
		if err := turnedAway(f.public); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a user who comes sees %v, want a reset", err)
		}
		if e := f.event(t, "user_reset"); e.Reason != "paused" || e.User == nil {
			t.Errorf("the event is %+v", e)
		}
		bounce(t, joined, "y")
		f.Resume()
		f.event(t, "tunnel_resumed")
		if s := f.State(); !s.Paused.IsZero() {
			t.Errorf("the state is %+v", s)
		}
		bounce(t, use(t, f.public), "z")
	})
}

// OnEvent has the whole life of a tunnel.
func TestOnEvent(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		local, _ := echoing(t)
		var names []string
		events := make(chan relay.TunnelEvent, 100)
		options.OnEvent = func(e relay.TunnelEvent) { events <- e }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		addr := relaytest.Start(t).Addr()
		go func() { ended <- relay.Forward(ctx, addr, local, options) }()
		opened := within(t, events, "a registration")
		user := use(t, opened.Public)
		bounce(t, user, "x")
		_ = user.Close()
		up := within(t, events, "the local server")
		done := within(t, events, "a user")
		cancel()
		closed := within(t, events, "the end")
		if err := <-ended; err != nil {
			t.Errorf("Forward: %v", err)
		}
		for _, e := range []relay.TunnelEvent{opened, up, done, closed} {
			names = append(names, e.Name)
		}
		if got := strings.Join(names, " "); got != "tunnel_opened tunnel_state_changed user_done tunnel_closed" {
			t.Errorf("the events are %s", got)
		}
		if done.DialTime <= 0 || done.Duration <= 0 {
			t.Errorf("the user is %+v", done)
		}
		if closed.Reason != "drain" || closed.Err != nil || closed.Public != opened.Public {
			t.Errorf("the end is %+v", closed)
		}
	})
}

// Over TLS, where no event loop serves anybody, it is the same.
func TestForwarderOverTLS(t *testing.T) {
	server := relaytest.Start(t)
	settings, err := server.TLS()
	if err != nil {
		t.Fatal(err)
	}
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		options.TLS = settings
		local, _ := echoing(t)
		f := run(t, server.Addr(), local, options)
		user := use(t, f.public)
		bounce(t, user, "123")
		f.until(t, "the bytes to be counted", func(s relay.ForwarderState) bool { return s.Received == 3 && s.Sent == 3 })
		if users := f.Users(10); len(users) != 1 || !f.EndUser(users[0].ID) {
			t.Fatalf("the users are %+v", users)
		}
		if _, err := user.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the user sees %v, want a reset", err)
		}
		if e := f.event(t, "user_done"); e.How != "ended_by_operator" {
			t.Errorf("the event is %+v", e)
		}
	})
}
