package forwarder_test

import (
	"strings"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/relaytest"
)

// A change that the relay refuses leaves the service as it was, and the status says so.
func TestChangeThatIsRefused(t *testing.T) {
	addr, local := relaytest.Start(t).Addr(), echo(t)
	n := startAll(t, service("a", addr, local, "1", relay.Options{}), service("b", addr, local, "1", relay.Options{}))
	before := n.registered(t, "a", "b")
	for settings, port := range map[string]int{"forbidden": 1, "port-taken": before["b"].Port} {
		n.change(t, service("a", addr, local, settings, relay.Options{Port: port}), service("b", addr, local, "1", relay.Options{}))
		for n.event(t, observe.RequestRefused).Code != settings { // of the change before
			continue
		}
		s := n.Status()
		if codes(s) != "not_registered_anew" || !strings.Contains(s.Problems[0].Text, settings) || s.Tunnels != 2 {
			t.Errorf("%s: the status is %+v", settings, s)
		}
		if a := n.services()["a"]; a.Port != before["a"].Port || a.Opened == nil {
			t.Errorf("%s: the service is %+v", settings, a)
		}
		join(t, before["a"].Public, "hello")
	}
	n.change(t, service("a", addr, local, "1", relay.Options{}), service("b", addr, local, "1", relay.Options{}))
	n.until(t, func(map[string]api.Tunnel) bool { return codes(n.Status()) == "" })
}

// What is remembered of a user has the port that the user came to.
func TestPortAfterChange(t *testing.T) {
	here, there, local := relaytest.Start(t).Addr(), relaytest.Start(t).Addr(), echo(t)
	n := startAll(t, service("a", here, local, "1", relay.Options{}))
	n.registered(t, "a")
	n.change(t, service("a", there, local, "2", relay.Options{}))
	n.event(t, observe.TunnelClosed) // which comes after that of the new one
	now := n.services()["a"]
	_ = join(t, now.Public, "hello").Close()
	n.event(t, observe.UserDone)
	if ended := n.Ended("", 1); len(ended) != 1 || ended[0].Port != now.Port {
		t.Errorf("the history has %+v, want the port %d", ended, now.Port)
	}
}

// What services that are gone have counted goes on to count.
func TestTotalsAfterAServiceIsGone(t *testing.T) {
	addr, local := relaytest.Start(t).Addr(), echo(t)
	a, b := service("a", addr, local, "", relay.Options{}), service("b", addr, local, "", relay.Options{})
	n := startAll(t, a, b)
	services := n.registered(t, "a", "b")
	_ = join(t, services["b"].Public, "hello").Close()
	n.event(t, observe.UserDone)
	n.change(t, a)
	n.until(t, func(s map[string]api.Tunnel) bool { return s["b"].ID == "" })
	if s := n.Status(); s.Connections != 1 || s.Received != 5 || s.Sent != 5 || s.Users != 0 {
		t.Errorf("the status is %+v", s)
	}
	join(t, services["a"].Public, "hello")
	n.sent(t, 10)
}
