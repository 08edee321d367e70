package server_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
)

func anyPort(int) (server.Listener, error) { return newFakeListener(), nil }

// A port that somebody has lost is nobody else's for a while, and his at once.
func TestQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports := server.NewPorts(anyPort)
		want := func(owner string, ok bool) {
			t.Helper()
			err := ports.OpenOne(1, owner)
			if (err == nil) != ok {
				t.Errorf("to %s: %v", owner, err)
			}
		}
		want("A", true)
		want("A", false) // it is taken
		ports.Release(1, "A")
		want("B", false)
		want("A", true)
		ports.Release(1, "A")
		<-time.After(server.Quarantine - time.Second)
		want("B", false)
		<-time.After(time.Second)
		want("B", true)
		ports.Free(1) // what is nobody's any more is anybody's
		want("C", true)
	})
}

// One who takes port after port keeps only the last of them from others.
func TestQuarantineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all, kept = 300, 100
		ports := server.NewPorts(anyPort)
		for n := range all {
			if err := ports.OpenOne(1+n, "A"); err != nil {
				t.Fatal(err)
			}
			ports.Release(1+n, "A")
			<-time.After(time.Millisecond)
		}
		for n := range all {
			if err := ports.OpenOne(1+n, "B"); (err == nil) != (n < all-kept) {
				t.Errorf("port %d of %d: %v", n, all, err)
			}
		}
	})
}

// Ports that nobody has lost are given first, then the one that was lost first:
// nobody is kept out by others who come and go.
func TestLostPortsComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports := server.NewPorts(anyPort)
		ranges := port.Set{{First: 1, Last: 10}}
		var lost []int
		for len(lost) < 10 {
			number, err := ports.Open(ranges, "A")
			if err != nil {
				t.Fatal(err)
			}
			lost = append(lost, number)
		}
		for _, number := range lost[3:] {
			ports.Release(number, "A")
			<-time.After(time.Second)
		}
		for _, number := range lost[:3] {
			ports.Free(number)
		}
		given := make(map[int]bool)
		for i := range 10 {
			number, err := ports.Open(ranges, "B")
			if err != nil {
				t.Fatal(err)
			}
			if given[number] {
				t.Fatalf("port %d was given twice", number)
			}
			given[number] = true
			if i >= 3 && number != lost[i] {
				t.Errorf("port %d was given, want %d, which was lost longer ago", number, lost[i])
			}
		}
		if number, err := ports.Open(ranges, "B"); err == nil {
			t.Errorf("port %d was given, and there is none", number)
		}
	})
}

// Another address cannot have a port by asking for it as soon as its owner is gone,
// though that has no lease.
func TestPortIsNotHijacked(t *testing.T) {
	r := start(t)
	owner := r.request("multiplex\n")
	tunnel := <-r.fake.tunnels
	_ = owner.Close()
	tunnel.end()
	wantClosed(t, "the end of the tunnel", tunnel.closed)
	request := fmt.Sprintf("+port %d\nmultiplex\n", tunnel.port)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	thief, err := from.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	_ = thief.SetDeadline(time.Now().Add(patience))
	conntest.Write(t, thief, request)
	conntest.WantRead(t, thief, "-port-taken ")
	if got := string(conntest.Read(t, r.request(request), 5)); strings.HasPrefix(got, "-") {
		t.Errorf("the owner is answered by %q", got)
	}
}
