package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/port"
)

// idle is a listener to which nobody comes.
type idle struct{ conn.Listener }

func anyPort(int) (conn.Listener, error) { return idle{}, nil }

// A port that somebody has lost is nobody else's for a while, and his at once.
func TestQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports := lease.NewPorts(anyPort)
		want := func(owner string, ok bool) {
			t.Helper()
			_, err := ports.OpenOne(1, owner)
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
		<-time.After(lease.Quarantine - time.Second)
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
		ports := lease.NewPorts(anyPort)
		for n := range all {
			if _, err := ports.OpenOne(1+n, "A"); err != nil {
				t.Fatal(err)
			}
			ports.Release(1+n, "A")
			<-time.After(time.Millisecond)
		}
		for n := range all {
			if _, err := ports.OpenOne(1+n, "B"); (err == nil) != (n < all-kept) {
				t.Errorf("port %d of %d: %v", n, all, err)
			}
		}
	})
}

// Ports that nobody has lost are given first, then the one that was lost first:
// nobody is kept out by others who come and go.
func TestLostPortsComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ports := lease.NewPorts(anyPort)
		ranges := port.Set{{First: 1, Last: 10}}
		var lost []int
		for len(lost) < 10 {
			_, number, err := ports.Open(ranges, "A")
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
			_, number, err := ports.Open(ranges, "B")
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
		if _, number, err := ports.Open(ranges, "B"); err == nil {
			t.Errorf("port %d was given, and there is none", number)
		}
	})
}
