package conformance_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// Of two forwarders with one lease key the later one serves, and the other one stands by.
// When the one that serves is killed, the other one has the port again: the relay keeps
// it out for 5 seconds at the most, and it comes back with a pause that has grown to
// some seconds by then.
func TestStandby(t *testing.T) {
	const soon = 30 * time.Second
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel() // it waits, mostly
		r := relaytest.Start(t)
		local := serveLocal(t, echo)
		state := "--stateDir=" + t.TempDir()
		first, superseded := startWithState(t, r.Addr(), local, protocol, state)
		public := first.nextPublic(t)
		second, _ := startWithState(t, r.Addr(), local, protocol, state)
		if at := second.nextPublic(t); at != public {
			t.Fatalf("the second one is at %s, the first one at %s", at, public)
		}
		within(t, superseded, "the first one to be refused")
		must(t, echoOnce(t, public, 1, 100))

		second.kill()
		killed := time.Now()
		if at := first.nextPublic(t); at != public {
			t.Errorf("the first one is at %s, and was at %s", at, public)
		}
		if took := time.Since(killed); took > soon {
			t.Errorf("the first one was kept out by a dead one for %v", took)
		}
		must(t, echoOnce(t, public, 2, 100))
	})
}

// startWithState runs a forwarder with a state directory, and reports when it is refused
// because another one has taken over.
func startWithState(t *testing.T, relayAddr, local string, protocol relay.Protocol, state string) (p *process, superseded <-chan struct{}) {
	t.Helper()
	host, port, err := net.SplitHostPort(relayAddr)
	must(t, err)
	_, localPort, err := net.SplitHostPort(local)
	must(t, err)
	p = startCommand(t, append(flagsOf(protocol), "--localForwardPort="+localPort, "--localForwardHost=127.0.0.1", state, host, port)...)
	refused := make(chan struct{}, 1)
	go func() {
		for p.logged.Scan() {
			if strings.Contains(p.logged.Text(), "(superseded)") {
				select {
				case refused <- struct{}{}:
				default: // it is known
				}
			}
		}
	}()
	return p, refused
}
