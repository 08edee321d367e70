//go:build lab && linux

package lab_test

import (
	"testing"
)

// A forwarder whose machine has no source port left towards the relay, or towards the
// local server, says so by name, and goes on when there is one again.
func TestSourcePortsUsedUp(t *testing.T) {
	const setting = "net/ipv4/ip_local_port_range"
	eachProtocol(t, "row28_source-ports", func(t *testing.T, protocol string) {
		r, s := newProbeRig(t, protocol, setup{args: []string{"--poolSize=2"}})
		set := func(ports string) {
			t.Helper()
			if err := r.Client.Set(setting, ports); err != nil {
				t.Fatal(err)
			}
		}
		said := r.forwarder.Lines()
		set("50000 50000") // one for each address
		c := &crowd{probes: s}
		for range 4 {
			c.users = append(c.users, c.some(1)...)
		}
		r.line(r.forwarder, said, noticed, "EADDRNOTAVAIL", "ip_local_port_range")
		c.leave()
		set("32768 60999")
		r.recover(0, s.works)
		if line, lost := r.forwarder.Said(said, "not registered"); lost {
			t.Errorf("it has given its registration up: %s", line)
		}
	})
}
