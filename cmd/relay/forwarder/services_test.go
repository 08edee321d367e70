package forwarder_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/cmd/relay/forwarder"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/relaytest"
)

// registered waits until all these services are registered, and returns them by name.
func (r *rig) registered(t *testing.T, names ...string) map[string]api.Tunnel {
	t.Helper()
	missing := slices.Clone(names)
	for len(missing) > 0 {
		e := r.event(t, observe.TunnelOpened)
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == e.Tunnel.Service })
	}
	return r.services()
}

// services returns the services by name.
func (r *rig) services() map[string]api.Tunnel {
	all := make(map[string]api.Tunnel)
	for _, tunnel := range r.Tunnels() {
		all[tunnel.Service] = tunnel
	}
	return all
}

// One service is up, one has no local server, one asks for a port that somebody else has, and
// one has no relay: the first two are registered, and each is shown by itself.
func TestServicesHoldUpNone(t *testing.T) {
	server, local := relaytest.Start(t), echo(t)
	other := start(t, server.Addr(), local, relay.Options{})
	other.event(t, observe.TunnelOpened)
	_, far := conntest.Pair(t) // whose address nobody listens at
	n := startAll(t,
		forwarder.Service{Name: "nowhere", Relay: far.LocalAddr().String(), Local: local},
		forwarder.Service{Name: "taken", Relay: server.Addr(), Local: local, Options: relay.Options{KeepTrying: true, Port: other.tunnel(t).Port}},
		forwarder.Service{Name: "down", Relay: server.Addr(), Local: far.LocalAddr().String(), Options: relay.Options{Protocol: relay.Pool}},
		forwarder.Service{Name: "web", Relay: server.Addr(), Local: local, Options: relay.Options{Protocol: relay.Event}},
	)
	services := n.registered(t, "down", "web")
	if ids := fmt.Sprint(services["nowhere"].ID, services["taken"].ID, services["down"].ID, services["web"].ID); ids != "t1t2t3t4" {
		t.Errorf("the IDs are %s", ids)
	}
	join(t, services["web"].Public, "hello")
	if c, err := net.Dial("tcp", services["down"].Public); err == nil { // or it is reset already
		defer c.Close()
	}
	if e := n.event(t, observe.UserReset); e.Tunnel.Service != "down" || e.Tunnel.Protocol != "pool" || e.Tunnel.ID != 3 {
		t.Errorf("the event is of %+v", e.Tunnel)
	}
	n.sent(t, 5)
	services = n.services()
	if web, down := services["web"], services["down"]; web.State != api.Up || web.Users != 1 || down.State != api.LocalServerDown || down.Users != 0 {
		t.Errorf("the services are %+v and %+v", web, down)
	}
	for _, name := range []string{"nowhere", "taken"} {
		if s := services[name]; s.State != api.Connecting || s.Port != 0 {
			t.Errorf("%s is %+v", name, s)
		}
	}
	s := n.Status()
	if s.Tunnels != 2 || s.Away != 2 || s.Users != 1 || s.Connections != 1 || s.Sent != 5 || s.Draining {
		t.Errorf("the status is %+v", s)
	}
	for _, p := range s.Problems {
		if name, _, _ := strings.Cut(p.Text, ": "); services[name].ID != p.Tunnel {
			t.Errorf("the problem of %s is %q", p.Tunnel, p.Text)
		}
	}
	if !strings.Contains(codes(s), "local_server_down") {
		t.Errorf("the problems are %s", codes(s))
	}
}

// Each service has its users, and is paused by itself.
func TestServicesAreApart(t *testing.T) {
	server := relaytest.Start(t)
	n := startAll(t,
		forwarder.Service{Name: "a", Relay: server.Addr(), Local: echo(t), Options: relay.Options{Users: 10}},
		forwarder.Service{Name: "b", Relay: server.Addr(), Local: echo(t), Options: relay.Options{Users: 2}},
	)
	services := n.registered(t, "a", "b")
	users := make(map[string]net.Conn)
	for _, name := range []string{"a", "b", "a"} {
		c := join(t, services[name].Public, name)
		users[c.LocalAddr().String()] = c
	}
	n.sent(t, 3)
	all := n.Users("", 10)
	if len(all) != 3 || len(n.Users("", 2)) != 2 || len(n.Users("t1", 10)) != 2 || len(n.Users("t2", 10)) != 1 {
		t.Fatalf("the users are %+v", all)
	}
	if all[0].Tunnel != "t1" || all[1].Tunnel != "t2" || all[2].Tunnel != "t1" || all[0].ID == all[1].ID {
		t.Errorf("the users, the oldest first, are %+v", all)
	}
	for _, l := range n.Limits() {
		if l.Name == "users_of_tunnel" && (l.Max != 2 || l.Used != 1) {
			t.Errorf("the limit that is closest is %+v", l)
		}
	}
	if err := n.EndUser(all[1].ID); err != nil {
		t.Error(err)
	}
	if _, err := users[all[1].Address].Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a user who was ended sees %v", err)
	}
	n.event(t, observe.UserDone)
	if ended := n.Ended("t2", 10); len(ended) != 1 || ended[0].Service != "b" || ended[0].Port != services["b"].Port || len(n.Ended("t1", 10)) != 0 {
		t.Errorf("the history has %+v", ended)
	}
	if err := n.Pause("t1"); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", services["a"].Public); err == nil {
		_, _ = io.Copy(io.Discard, c) // until it is reset
		_ = c.Close()
	}
	join(t, services["b"].Public, "goes on")
	if services = n.services(); services["a"].State != api.Paused || services["b"].State == api.Paused {
		t.Errorf("the services are %+v", services)
	}
}

// A service without KeepTrying that is refused ends the others, too.
func TestServiceThatFailsForGood(t *testing.T) {
	server := relaytest.Start(t)
	other := start(t, server.Addr(), echo(t), relay.Options{})
	other.event(t, observe.TunnelOpened)
	n, err := forwarder.New([]forwarder.Service{
		{Name: "a", Relay: server.Addr(), Local: echo(t)},
		{Name: "b", Relay: server.Addr(), Local: echo(t), Options: relay.Options{Port: other.tunnel(t).Port}},
	}, forwarder.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var refused *relay.RefusedError
	if err := n.Run(t.Context()); !errors.As(err, &refused) || !strings.HasPrefix(err.Error(), "services.b: ") {
		t.Errorf("Run returns %v", err)
	}
}

func TestNewRefusesTheWrongService(t *testing.T) {
	_, err := forwarder.New([]forwarder.Service{
		{Name: "a", Relay: "localhost:1", Local: "localhost:2"},
		{Name: "b", Relay: "localhost:1", Local: "localhost:2", Options: relay.Options{Protocol: "none"}},
	}, forwarder.Config{})
	if err == nil || !strings.HasPrefix(err.Error(), "services.b: ") {
		t.Errorf("New returns %v", err)
	}
}

func TestWorks(t *testing.T) {
	n, err := forwarder.New([]forwarder.Service{{Relay: "localhost:1", Local: "localhost:2"}}, forwarder.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Works(context.Background()); err != nil {
		t.Error(err)
	}
	n.Close()
	if err := n.Works(context.Background()); err == nil {
		t.Error("a node that is closed works")
	}
}
