package forwarder_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/cmd/relay/forwarder"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/relaytest"
)

// change has a node put these services online.
func (r *rig) change(t *testing.T, services ...forwarder.Service) {
	t.Helper()
	apply, err := r.Prepare(services)
	if err != nil {
		t.Fatal(err)
	}
	if err := apply(); err != nil {
		t.Fatal(err)
	}
}

// until waits until the services, by name, are as they have to be.
func (r *rig) until(t *testing.T, ok func(map[string]api.Tunnel) bool) map[string]api.Tunnel {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		services := r.services()
		if ok(services) {
			return services
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the services are %+v", services)
		}
	}
}

// talk has bytes come back on a user's connection.
func talk(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.WriteString(c, "again"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Error(err)
	}
}

// nameKeys keeps a key by the name of a service.
type nameKeys string

func (k nameKeys) Key(string) (key string, err error) { return strings.Repeat(string(k), 26)[:26], nil }

// service returns one that has its lease by its name. Settings say what it is.
func service(name, relayAddr, local, settings string, options relay.Options) forwarder.Service {
	options.Keys, options.Drain = nameKeys(strings.ToUpper(name)), -1
	options.KeepTrying = true
	return forwarder.Service{Name: name, Relay: relayAddr, Local: local, Settings: settings, Options: options}
}

// What did not change is not touched. A service that changed keeps its tunnel, its users and its
// port; a new one begins; one that is gone drains, and is another one if it comes back.
func TestChange(t *testing.T) {
	for _, protocol := range relay.Protocols() {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			testChange(t, protocol)
		})
	}
}

func testChange(t *testing.T, protocol relay.Protocol) {
	addr, local, other := relaytest.Start(t).Addr(), echo(t), echo(t)
	of := func(name, local, settings string, options relay.Options) forwarder.Service {
		options.Protocol = protocol
		return service(name, addr, local, settings, options)
	}
	a, b, c := of("a", local, "1", relay.Options{}), of("b", local, "1", relay.Options{}), of("c", local, "1", relay.Options{})
	c.Options.Drain = time.Minute
	n := startAll(t, a, b, c)
	before := n.registered(t, "a", "b", "c")
	users := map[string]net.Conn{}
	for _, name := range []string{"a", "b"} {
		users[name] = join(t, before[name].Public, "hello")
	}
	n.sent(t, 10)

	n.change(t, a, of("b", other, "2", relay.Options{Name: "renamed"}), of("d", local, "1", relay.Options{}))
	n.registered(t, "b", "d")
	after := n.until(t, func(s map[string]api.Tunnel) bool { return s["c"].ID == "" && s["b"].Name == "renamed" })
	if was, is := before["a"], after["a"]; is.ID != was.ID || !is.Opened.Equal(*was.Opened) || is.Users != 1 {
		t.Errorf("a was %+v, and is %+v", was, is)
	}
	if was, is := before["b"], after["b"]; is.ID != was.ID || is.Port != was.Port || is.Local != other || is.Users != 1 || is.Connections != 1 || is.Sent != 5 {
		t.Errorf("b was %+v, and is %+v", was, is)
	}
	if after["d"].ID != "t4" {
		t.Errorf("d is %+v", after["d"])
	}
	for _, c := range users {
		talk(t, c)
	}
	for _, name := range []string{"a", "b", "d"} {
		join(t, after[name].Public, "hello")
	}

	n.change(t, a, c)
	back := n.registered(t, "c")["c"]
	if back.ID != "t5" || back.Port != before["c"].Port {
		t.Errorf("c was %+v, and is %+v", before["c"], back)
	}
	talk(t, users["a"])
}

// A service that is gone lets its users finish.
func TestServiceThatIsGoneDrains(t *testing.T) {
	addr, local := relaytest.Start(t).Addr(), echo(t)
	stays, goes := service("stays", addr, local, "", relay.Options{}), service("goes", addr, local, "", relay.Options{})
	n := startAll(t, stays, goes)
	goes.Options.Drain = time.Minute
	goes.Settings = "drain"
	n.registered(t, "stays", "goes")
	n.change(t, stays, goes)
	public := n.services()["goes"].Public
	user := join(t, public, "hello")
	n.sent(t, 5)
	n.change(t, stays)
	if e := n.event(t, observe.TunnelClosed); e.Tunnel.Service != "goes" || e.Reason != observe.Draining {
		t.Errorf("the end is %+v", e)
	}
	if s := n.services()["goes"]; s.State != api.Away || s.Users != 1 {
		t.Errorf("it is %+v", s)
	}
	if s := n.Status(); s.Draining || s.Tunnels != 1 || s.Away != 0 {
		t.Errorf("the status is %+v", s)
	}
	talk(t, user)
	_ = user.Close()
	n.until(t, func(s map[string]api.Tunnel) bool { return s["goes"].ID == "" })
}

// A service that makes no sense changes nothing.
func TestChangeToNonsense(t *testing.T) {
	addr, local := relaytest.Start(t).Addr(), echo(t)
	n := startAll(t, service("a", addr, local, "1", relay.Options{}))
	n.registered(t, "a")
	for _, wrong := range []forwarder.Service{
		service("a", addr, local, "2", relay.Options{Protocol: "none"}),
		service("b", addr, local, "1", relay.Options{Protocol: "none"}),
	} {
		if _, err := n.Prepare([]forwarder.Service{service("new", addr, local, "", relay.Options{}), wrong}); err == nil {
			t.Errorf("%s is taken", wrong.Name)
		}
	}
	if s := n.services(); len(s) != 1 || s["a"].Protocol != "multiplex" || s["a"].Opened == nil {
		t.Errorf("the services are %+v", s)
	}
	apply, err := n.Prepare(nil)
	if err != nil {
		t.Fatal(err)
	}
	n.Drain()
	n.Close()
	if err := apply(); err == nil {
		t.Error("a node that has ended takes services")
	}
}
