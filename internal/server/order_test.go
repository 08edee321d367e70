package server_test

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/server"
)

// turn gives the place of a user who waits, as its relay client is told.
func (o *opening) turn(t *testing.T) proxyproto.Sequence {
	t.Helper()
	_, _, said, err := proxyproto.ReadDetails(o.serve(t))
	if err != nil {
		t.Fatal(err)
	}
	return said.Sequence
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

	// Nobody waits for one who has gone before, but for those before that one.
	gone, _ := come(tunnel)
	_, d := come(tunnel)
	_ = gone.SetLinger(0)
	_ = gone.Close()
	r.wantCounted(admission.UsersGone, 1)
	if turn := d.turn(t); turn.After != turnC.Number || turn.Number != turnC.Number+2 {
		t.Errorf("the one behind one who has gone is told of as %v, want number %d before", turn, turnC.Number)
	}

	// Nor for one of whom another relay client was told.
	again, _ := r.try("+proxy v2\n+lease 01234567890123456789012345678901\nmultiplex\n")
	_, e := come(again)
	if turn := e.turn(t); turn.After != 0 {
		t.Errorf("the first one of another relay client is told of as %v", turn)
	}
}

// Who comes behind one who has gone comes behind those before that one.
func TestTurnsBehindOneWhoHasGone(t *testing.T) {
	for name, late := range map[string]bool{"gone before": false, "gone after": true} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			tunnel, _ := r.try("+proxy v2\nmultiplex\n")
			come := func() (*net.TCPConn, *opening) {
				u := user(t, tunnel)
				return u, tunnel.next(t)
			}
			leave := func(u *net.TCPConn) {
				_ = u.SetLinger(0)
				_ = u.Close()
				r.wantCounted(admission.UsersGone, 1)
			}
			_, a := come()
			gone, _ := come()
			if !late {
				leave(gone)
			}
			_, c := come()
			if late {
				leave(gone)
			}
			turnC, turnA := c.turn(t), a.turn(t)
			if turnA.Number == 0 || turnC.After != turnA.Number {
				t.Errorf("the third one is told of as %v, and the first, who waits, as %v", turnC, turnA)
			}
		})
	}
}

// The same of users who waited for a relay client that has a limit.
func TestTurnsOfUsersWhoWaited(t *testing.T) {
	const perSecond, burst = 1, 2
	log := new(lockedBuffer)
	r := start(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	lease := func(more string) string {
		return "+proxy v2\n+lease 01234567890123456789012345678901\n" + more + "multiplex\n"
	}
	tunnel, _ := r.try(lease(""))
	tunnel.end()
	for range burst + 1 {
		user(t, tunnel)
	}
	r.wantSoon("users who wait", burst+1, func() int64 { return int64(r.State().Waiting) })
	since := time.Now()
	again, _ := r.try(lease(fmt.Sprintf("+users-per-second %d\n", perSecond)))
	r.wantSoon("lines about users who are held up", 1, func() int64 { return log.count("limit=users_per_second_of_tunnel delayed=1") })
	turns := make(map[uint64]uint64)
	for range burst {
		turn := again.next(t).turn(t)
		turns[turn.Number] = turn.After
	}
	heldUp := time.Since(since) < time.Second/perSecond // still, on a machine that is not very slow
	for number, after := range turns {
		if _, told := turns[after]; !told && after != 0 && heldUp {
			t.Errorf("user %d comes after %d, who is held up", number, after)
		}
	}
}
