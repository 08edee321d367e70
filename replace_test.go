package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// naming runs a server that says its name to everybody, and then echoes.
func naming(t *testing.T, name string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ended, func() { _ = c.Close() })()
				if _, err := io.WriteString(c, name); err == nil {
					_, _ = io.Copy(c, struct{ io.Reader }{c})
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		end()
		running.Wait()
	})
	return l.Addr().String()
}

// servedBy connects as a user, whom a server of that name has to serve.
func servedBy(t *testing.T, public net.Addr, name string) net.Conn {
	t.Helper()
	c := use(t, public)
	got := make([]byte, len(name))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != name {
		t.Fatalf("served by %q, want %q: %v", got, name, err)
	}
	return c
}

// nameAt returns the name of the server at a public address.
func nameAt(t *testing.T, public net.Addr) string {
	t.Helper()
	c := use(t, public)
	defer c.Close()
	got := make([]byte, 100)
	n, err := c.Read(got)
	if err != nil {
		t.Fatal(err)
	}
	return string(got[:n])
}

// replace replaces what a forwarder does.
func (r *running) replace(t *testing.T, relayAddr, local string, options *relay.Options) {
	t.Helper()
	full := *options
	full.Drain = -1
	if err := r.Replace(relayAddr, local, &full); err != nil {
		t.Fatal(err)
	}
}

// anew waits until the forwarder has registered anew, and returns the public address.
func (r *running) anew(t *testing.T) net.Addr {
	t.Helper()
	public := r.event(t, "tunnel_opened").Public
	if e := r.event(t, "tunnel_closed"); e.Reason != "registered_anew" || e.Err != nil {
		t.Errorf("the end of the previous tunnel is %+v", e)
	}
	return public
}

// unclosed fails the test if a tunnel was opened or closed.
func (r *running) unclosed(t *testing.T) {
	t.Helper()
	for len(r.events) > 0 {
		if e := <-r.events; e.Name == "tunnel_closed" || e.Name == "tunnel_opened" {
			t.Errorf("it has registered anew: %+v", e)
		}
	}
}

// Another local server needs no registration. Users who are joined keep theirs.
func TestReplaceLocalServer(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		server := relaytest.Start(t)
		options.Keys = fixedKeys("a-key-of-twenty-two-characters")
		f := run(t, server.Addr(), naming(t, "one"), options)
		first := servedBy(t, f.public, "one")
		options.HealthCheck = new(relay.HealthCheck)
		two := naming(t, "two")
		f.replace(t, server.Addr(), two, options)
		f.until(t, "the other server", func(s relay.ForwarderState) bool { return s.LocalServer.Addr == two && s.LocalServer.Err == nil })
		second := servedBy(t, f.public, "two")
		bounce(t, first, "still here")
		bounce(t, second, "here")
		f.unclosed(t)
		if s := f.State(); s.Users != 2 || len(f.Users(10)) != 2 {
			t.Errorf("two users are joined, and the state is %+v", s)
		}
	})
}

// While the health check of the server fails users wait, until there is a server that answers.
func TestReplaceServerThatIsDown(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		server := relaytest.Start(t)
		options.Keys = fixedKeys("a-key-of-twenty-two-characters")
		options.HealthCheck = new(relay.HealthCheck)
		f := run(t, server.Addr(), nobody(t), options)
		f.until(t, "the check", func(s relay.ForwarderState) bool { return s.LocalServer.Err != nil })
		user := use(t, f.public)
		options.HealthCheck = nil
		f.replace(t, server.Addr(), naming(t, "one"), options)
		if got, err := io.ReadAll(io.LimitReader(user, 3)); err != nil || string(got) != "one" {
			t.Errorf("a user who waited reads %q: %v", got, err)
		}
		f.unclosed(t)
	})
}

// What the relay was asked for it is asked anew, with the same key: the port stays, users who
// are joined go on, and no user who comes meanwhile is turned away.
func TestReplaceRequest(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		server := relaytest.Start(t)
		options.Keys = fixedKeys("a-key-of-twenty-two-characters")
		local := naming(t, "")
		f := run(t, server.Addr(), local, options)
		before := use(t, f.public)
		bounce(t, before, "hello")
		stop := comeAndGo(t, f.public)
		for users := range 10 {
			options.Users = 1000 + users
			f.replace(t, server.Addr(), local, options)
			if public := f.anew(t); public != f.public {
				t.Fatalf("registered anew at %v, and before at %v", public, f.public)
			}
		}
		stop()
		bounce(t, before, "still here")
		if s := f.State(); !s.Registered || s.Err != nil || s.Users == 0 {
			t.Errorf("the state is %+v", s)
		}
	})
}

// comeAndGo has users come, one after the other and each served, until stop is called.
func comeAndGo(t *testing.T, public net.Addr) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for ctx.Err() == nil {
				tick(t)
				if err := comeOnce(public); err != nil {
					t.Errorf("a user was not served: %v", err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// comeOnce is a user whose byte has to come back.
func comeOnce(public net.Addr) error {
	c, err := net.Dial("tcp", public.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "x"); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// Another protocol, another relay and another name are registered before the previous tunnel
// ends, which serves its own server until then.
func TestReplaceAll(t *testing.T) {
	one, two := relaytest.Start(t), relaytest.Start(t)
	protocols := []relay.Protocol{relay.Event, relay.Multiplex, relay.Pool}
	f := run(t, one.Addr(), naming(t, "zero"), &relay.Options{Protocol: relay.Pool})
	users := []net.Conn{servedBy(t, f.public, "zero")}
	for i, protocol := range protocols {
		to := []*relaytest.Relay{one, two}[i%2]
		f.replace(t, to.Addr(), naming(t, string(protocol)), &relay.Options{Protocol: protocol, Name: string(protocol)})
		public := f.anew(t)
		for nameAt(t, public) != string(protocol) { // the relay has told of the tunnel before it gives it users
			tick(t)
		}
		users = append(users, servedBy(t, public, string(protocol)))
		if s := f.State(); s.Protocol != protocol || s.Name != string(protocol) || s.Relay != to.Addr() || s.Public != public {
			t.Errorf("the state is %+v", s)
		}
	}
	for _, user := range users {
		bounce(t, user, "still here")
	}
	f.until(t, "the users who are joined", func(s relay.ForwarderState) bool {
		return s.Users == len(users) && s.Connections > int64(len(users))
	})
}

// What makes no sense changes nothing.
func TestReplaceMakesNoSense(t *testing.T) {
	server := relaytest.Start(t)
	f := run(t, server.Addr(), naming(t, "one"), &relay.Options{})
	for name, replace := range map[string]func() error{
		"relay":  func() error { return f.Replace("nowhere", "127.0.0.1:1", nil) },
		"local":  func() error { return f.Replace(server.Addr(), "nowhere", nil) },
		"option": func() error { return f.Replace(server.Addr(), "127.0.0.1:1", &relay.Options{Port: -1}) },
		"keys":   func() error { return f.Replace(server.Addr(), "127.0.0.1:1", &relay.Options{Keys: noKeys{}}) },
	} {
		if err := replace(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	servedBy(t, f.public, "one")
	f.unclosed(t)
}

type noKeys struct{}

func (noKeys) Key(string) (string, error) { return "", errors.New("there are none") }

// A refusal leaves what there is, and the state has it. The next Replace ends the tries.
func TestReplaceRefused(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		server := relaytest.Start(t)
		options.Keys = fixedKeys("a-key-of-twenty-two-characters")
		local := naming(t, "one")
		f := run(t, server.Addr(), local, options)
		wrong := *options
		wrong.Port = 1 // which the relay gives nobody
		f.replace(t, server.Addr(), naming(t, "two"), &wrong)
		var refused *relay.RefusedError
		s := f.until(t, "the refusal", func(s relay.ForwarderState) bool { return errors.As(s.Err, &refused) })
		if refused.Code != "forbidden" || !s.Registered || s.Public != f.public {
			t.Errorf("the state is %+v", s)
		}
		servedBy(t, f.public, "one")
		away := *options
		away.Name = "away"
		f.replace(t, nobody(t), local, &away)
		f.until(t, "the failure", func(s relay.ForwarderState) bool { return s.Err != nil && !errors.As(s.Err, &refused) })
		servedBy(t, f.public, "one")
		f.replace(t, server.Addr(), local, options)
		f.until(t, "the end of the tries", func(s relay.ForwarderState) bool { return s.Registered && s.Err == nil })
		servedBy(t, f.public, "one")
		f.unclosed(t)
	})
}

// Before Run, and of several in a row, the last one counts.
func TestReplaceBeforeRun(t *testing.T) {
	server := relaytest.Start(t)
	public := make(chan net.Addr, 10)
	f, err := relay.NewForwarder(nobody(t), nobody(t), &relay.Options{OnRegister: func(a net.Addr) { public <- a }})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{nobody(t), server.Addr()} {
		if err := f.Replace(addr, naming(t, addr), &relay.Options{Drain: -1}); err != nil {
			t.Fatal(err)
		}
	}
	if s := f.State(); s.Relay != server.Addr() {
		t.Errorf("before Run the state is %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	servedBy(t, within(t, public, "the registration"), server.Addr())
	cancel()
	if err := within(t, ended, "the end of Run"); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := f.Replace(server.Addr(), nobody(t), nil); err != nil {
		t.Errorf("after Run: %v", err)
	}
}

// Replace, State, Users, Pause and the end of Run may come at once.
func TestReplaceOften(t *testing.T) {
	eachProtocol(t, func(t *testing.T, options *relay.Options) {
		server := relaytest.Start(t)
		local := naming(t, "")
		f := run(t, server.Addr(), local, options)
		var running sync.WaitGroup
		for i := range 3 {
			running.Go(func() {
				for n := range 20 {
					o := *options
					o.Drain, o.ProxyProtocol, o.Users = -1, n%2, 100*i+n
					if n%3 == 0 {
						o.HealthCheck = new(relay.HealthCheck)
					}
					if n%5 == 0 {
						o.Deny = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
					}
					if err := f.Replace(server.Addr(), local, &o); err != nil {
						t.Error(err)
					}
					f.State()
					f.Users(10)
				}
			})
		}
		running.Wait()
		f.replace(t, server.Addr(), local, options)
		f.until(t, "the last one", func(s relay.ForwarderState) bool { return s.Registered && s.Err == nil })
		for comeOnce(f.State().Public) != nil {
			tick(t)
		}
	})
}

// tick lets a moment pass between two looks.
func tick(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(5 * time.Millisecond):
	case <-t.Context().Done():
	}
}
