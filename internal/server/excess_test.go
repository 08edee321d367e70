package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// Users who come too fast are delayed by up to a second. Those who would be delayed longer
// are reset.
func TestUsersAreHeldUp(t *testing.T) {
	const perSecond, atOnce, crowd = 20, 40, 80
	for name, c := range map[string]struct {
		lines   string
		changes []func(*server.Config)
		kind    admission.Kind
	}{
		"by the relay": {"multiplex\n", []func(*server.Config){
			usersFrom("192.0.2.1"), func(c *server.Config) { c.Limits.UsersPerSecond = perSecond },
		}, admission.UsersPerSecond},
		"by the tunnel": {fmt.Sprintf("+users-per-second %d\nmultiplex\n", perSecond), nil, admission.UsersPerSecondOfTunnel},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, c.changes...)
			tunnel, _ := r.try(c.lines)
			r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
			since := time.Now()
			var users []net.Conn
			for range crowd {
				if u := wantsIn(t, tunnel); u != nil {
					users = append(users, u)
				}
			}
			dialled := time.Since(since)
			served := 0
			for r.State().Counters.Of(c.kind)+int64(served) < crowd {
				select {
				case o := <-tunnel.opens:
					served++
					conntest.Write(t, o.serve(t), "x")
				case <-time.After(grace):
				}
			}
			took := time.Since(since)
			if least, most := atOnce+perSecond-1, atOnce+perSecond+1+int(perSecond*dialled/time.Second); served < least || served > most {
				t.Errorf("%d of %d users are served, want %d to %d", served, crowd, least, most)
			}
			if least := (time.Duration(served) - atOnce - 1) * time.Second / perSecond; took < least {
				t.Errorf("%d users are served after %v, want %v", served, took, least)
			}
			got := 0
			for _, u := range users {
				if _, err := u.Read(make([]byte, 1)); err == nil {
					got++
				}
			}
			if got != served {
				t.Errorf("%d users have their byte, want %d", got, served)
			}
		})
	}
}

// However fast users come, a bounded number of them is delayed.
func TestUsersWhoAreHeldUpAreBounded(t *testing.T) {
	const perSecond, crowd, heldUp = 250, 1000, 128
	const late = time.Second / 4 // for the relay to accept the last one
	r := start(t)
	tunnel, _ := r.try(fmt.Sprintf("+users-per-second %d\nmultiplex\n", perSecond))
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	in := make(chan int)
	stop := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case o := <-tunnel.opens:
				o.answer <- opened{err: errors.New("nobody is served")}
			case <-stop:
				in <- n
				return
			}
		}
	}()
	since := time.Now()
	for range crowd {
		wantsIn(t, tunnel)
	}
	took := time.Since(since)
	r.wantSoon("users", 0, func() int64 { return int64(r.State().Users) })
	close(stop)
	if n, most := <-in, 2*perSecond+heldUp+1+int(perSecond*(took+late)/time.Second); n > most {
		t.Errorf("%d users are let in, want %d at most", n, most)
	}
}

// wantsIn connects a user, who may be reset before it knows that it is connected.
func wantsIn(t *testing.T, tunnel *fakeTunnel) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
	if err != nil {
		return nil
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// A user who is delayed is reset at once when the port closes.
func TestPortEndsWhileUsersAreHeldUp(t *testing.T) {
	r := start(t)
	tunnel, _ := r.try("+users-per-second 1\nmultiplex\n")
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	for range 2 {
		r.join(tunnel)
	}
	u := user(t, tunnel)
	r.wantSoon("users", 3, func() int64 { return int64(r.State().Users) })
	tunnel.end()
	conntest.WantReset(t, u)
	r.wantSoon("users", 2, func() int64 { return int64(r.State().Users) })
}

// Users who came while no relay client served the port are delayed likewise.
func TestUsersWhoWaitedAreHeldUp(t *testing.T) {
	store, ports := newMemory(), freePorts(t, 3)
	config := func(c *server.Config) { c.Leases, c.Ports = store, ports }
	r := start(t, config)
	tunnel := r.own(as("a", "1"))
	r.Close()
	r = start(t, config)
	for range 8 {
		user(t, tunnel)
	}
	r.wantSoon("users who wait", 8, func() int64 { return int64(r.State().Waiting) })
	again, _ := r.try(as("a", "1", "+users-per-second 3"))
	since := time.Now()
	for range 8 { // two more than go at once
		again.next(t).serve(t)
	}
	if took, least := time.Since(since), 2*time.Second/3; took < least*9/10 {
		t.Errorf("eight users are served after %v, want %v", took, least)
	}
}

// The owner of a port learns from the header of a user that others had to wait, or
// were reset, and the log has it too: each once in a while.
func TestExcessIsTold(t *testing.T) {
	log := new(lockedBuffer)
	r := start(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	tunnel, _ := r.try("+proxy v2\n+users 2\n+name web\nmultiplex\n")
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	come := func() (u *net.TCPConn, client *transport.Conn, notice string) {
		t.Helper()
		u = user(t, tunnel)
		client = tunnel.next(t).serve(t)
		from, _, said, err := proxyproto.ReadDetails(client)
		if err != nil || from.String() != u.LocalAddr().String() {
			t.Fatalf("the header says %v, %v", from, err)
		}
		return u, client, string(said.Notice)
	}
	_, _, first := come()
	u, client, second := come()
	for range 3 {
		wantTurnedAway(t, tunnel)
	}
	r.wantCounted(admission.UsersOfTunnel, 3)
	leaves := func() {
		_, _ = u.Close(), client.Close()
		r.wantSoon("users", 1, func() int64 { return int64(r.State().Users) })
	}
	leaves()
	u, client, third := come()
	leaves()
	_, _, fourth := come()
	if got, want := []string{first, second, third, fourth}, []string{"", "", "usersOfTunnel 0 3", ""}; !slices.Equal(got, want) {
		t.Errorf("the owner is told %q, want %q", got, want)
	}
	const line = `msg="users exceed a limit" event=users_limited port=`
	if n := log.count(line); n != 1 {
		t.Errorf("%d lines are in the log, want 1", n)
	}
	if want := "limit=users_of_tunnel delayed=0 reset=1"; log.count(want) != 1 {
		t.Errorf("the log lacks %q", want)
	}
	tunnel.end() // and what is not logged yet is logged then
	r.wantSoon("lines about the others", 1, func() int64 { return log.count("limit=users_of_tunnel delayed=0 reset=2") })
}
