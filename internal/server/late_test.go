package server_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/wire"
)

// A leased port that another program has when the relay starts is opened as soon as
// that lets go of it, and is nobody else's meanwhile. Its owner is told so, and gets no
// other one.
func TestLeasedPortIsInUse(t *testing.T) {
	ports := freePorts(t, 2)
	me := only("a", ports.First)
	owners := map[string]string{"of nobody in particular": as("a", "1"), "of an identity": as("a", "1", "+token a")}
	for name, lines := range owners {
		t.Run(name, func(t *testing.T) {
			store := newMemory()
			config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
			r := start(t, known(auth.Identity{}, me), config)
			number := r.own(lines).port
			r.Close()
			taken, err := listen(number)
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			r = start(t, known(auth.Identity{}, me), config)
			r.wantRefusal(lines, wire.CodeNotOpen)
			r.wantRefusal(as("b", "1", fmt.Sprintf("+port %d", number)), wire.CodePortTaken)
			if other := r.own(as("b", "1")); other.port == number {
				t.Errorf("somebody else has port %d", number)
			}
			r.wantRefusal(as("c", "1"), wire.CodeNoPort)
			_ = taken.Close()
			if again := r.own(lines); again.port != number { // at once, as its owner is there
				t.Errorf("it has port %d, want %d", again.port, number)
			}
			r.Close()
			if taken, err = listen(number); err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			r = start(t, known(auth.Identity{}, me), config)
			_ = taken.Close()
			var waits net.Conn
			r.wantSoon("users who can connect", 1, func() int64 { // before its owner is back
				if waits, err = net.Dial("tcp", net.JoinHostPort(loopback, strconv.Itoa(number))); err != nil {
					return 0
				}
				return 1
			})
			defer waits.Close()
			again, refusal := r.try(lines)
			if again == nil {
				t.Fatal(refusal)
			}
			_ = waits.SetDeadline(time.Now().Add(patience))
			conntest.WantPair(t, waits.(*net.TCPConn), again.next(t).serve(t))
		})
	}
}

// It is not waited for any longer than the lease stands.
func TestLeasedPortStaysInUse(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 2)
	config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
	r := start(t, config)
	number := r.own(as("a", "1")).port
	r.Close()
	taken, err := listen(number)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r = start(t, config, func(c *server.Config) { c.Lease = 300 * time.Millisecond })
	r.wantRefusal(as("a", "1"), wire.CodeNotOpen)
	r.wantSoon("ports", 0, func() int64 { return int64(r.State().Ports) })
	if other := r.own(as("a", "1")); other.port == number {
		t.Errorf("it has port %d, which another program has", number)
	}
}
