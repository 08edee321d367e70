package server_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/seed96252745/relay/internal/limit"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// turn gives the place of a user who waits, as its relay client is told.
func (o *opening) turn(t *testing.T) proxyproto.Turn {
	t.Helper()
	_, _, said, err := proxyproto.ReadDetails(o.serve(t))
	if err != nil {
		t.Fatal(err)
	}
	return said.Turn
}

// The relay client is told who came before from the same address, in whatever order it
// comes for the users.
func TestTurns(t *testing.T) {
	r := start(t)
	tunnel, _ := r.try("+proxy v2\n+lease 01234567890123456789012345678901\nmultiplex\n")
	come := func(at *fakeTunnel) (*net.TCPConn, *opening) {
		u := user(t, at)
		return u, at.next(t)
	}
	_, a := come(tunnel)
	_, b := come(tunnel)
	dialFrom(t, "127.0.0.2", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
	other := tunnel.next(t)
	_, c := come(tunnel)
	turnC, turnOther, turnB, turnA := c.turn(t), other.turn(t), b.turn(t), a.turn(t)
	if turnA.Number == 0 || turnA.After != 0 || turnOther.After != 0 {
		t.Errorf("the first ones of two addresses are told of as %v and %v", turnA, turnOther)
	}
	if turnB.After != turnA.Number || turnC.After != turnB.Number {
		t.Errorf("three of one address are told of as %v, %v and %v", turnA, turnB, turnC)
	}

	// Nobody waits for one who has gone before.
	gone, _ := come(tunnel)
	_, d := come(tunnel)
	_ = gone.SetLinger(0)
	_ = gone.Close()
	r.wantCounted(limit.UsersGone, 1)
	if turn := d.turn(t); turn.After != 0 || turn.Number != turnC.Number+2 {
		t.Errorf("the one behind one who has gone is told of as %v, want no other before", turn)
	}

	// Nor for one of whom another relay client was told.
	again, _ := r.try("+proxy v2\n+lease 01234567890123456789012345678901\nmultiplex\n")
	_, e := come(again)
	if turn := e.turn(t); turn.After != 0 {
		t.Errorf("the first one of another relay client is told of as %v", turn)
	}
}
