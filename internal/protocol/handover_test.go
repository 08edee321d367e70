package protocol_test

import (
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// named is a connection that nobody uses.
type named struct {
	conn.Conn
	name string
}

// A connection goes to the function, or, after Hold, to the channel.
func TestHandover(t *testing.T) {
	var got []conn.Conn
	opened := func(c conn.Conn) { got = append(got, c) }
	first, second, third := &named{name: "first"}, &named{name: "second"}, &named{name: "third"}

	var called protocol.Handover
	called.Init(opened)
	called.Deliver(first)
	if called.Hold() {
		t.Error("Hold reports true after the function was called")
	}

	var held protocol.Handover
	held.Init(opened)
	for range 2 {
		if !held.Hold() {
			t.Error("Hold reports false before a connection came")
		}
	}
	held.Deliver(second)
	if c := <-held.Next(); c != conn.Conn(second) {
		t.Errorf("the channel has %v", c)
	}

	var waited protocol.Handover
	waited.Init(nil)
	waited.Deliver(third)
	if c := <-waited.Next(); c != conn.Conn(third) {
		t.Errorf("the channel has %v", c)
	}
	if len(got) != 1 || got[0] != conn.Conn(first) {
		t.Errorf("the function was called with %v", got)
	}
}

// If a connection comes at the same time as Hold, exactly one of the two has it.
func TestHandoverRace(t *testing.T) {
	for range 1000 {
		calls := 0
		var h protocol.Handover
		h.Init(func(conn.Conn) { calls++ })
		var delivering sync.WaitGroup
		delivering.Go(func() { h.Deliver(&named{}) })
		held := h.Hold()
		if held {
			<-h.Next()
		}
		delivering.Wait()
		if held == (calls > 0) {
			t.Fatalf("held is %v after %d calls", held, calls)
		}
	}
}
