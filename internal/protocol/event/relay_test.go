package event_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"testing"
	"testing/synctest"

	"github.com/seed96252745/relay/internal/protocol/protocoltest"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

func TestOpen(t *testing.T) {
	e := newTunnel(t)
	for range 3 {
		got := e.user(t.Context())
		id := e.line()
		if !regexp.MustCompile(`^[A-Z2-7]{26}$`).MatchString(id) {
			t.Errorf("the id is %q", id)
		}
		client, err := e.claim(id)
		if err != nil {
			t.Fatal(err)
		}
		o := <-got
		if o.err != nil {
			t.Fatal(o.err)
		}
		conntest.WantPair(t, o.conn, client)
		_ = o.conn.Close()
	}
}

func TestRegisterOnDeadConnection(t *testing.T) {
	conn, _ := protocoltest.Pair(t)
	_ = conn.Close()
	if tunnel, err := event.NewRelay(event.Config{}).Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}}); err == nil {
		_ = tunnel.Close()
		t.Error("registered on a connection that cannot be written to")
	}
}

// The relay client may claim users in any order.
func TestManyUsersAtOnce(t *testing.T) {
	const n = 100
	e := newTunnel(t)
	var users [n]<-chan opened
	byID := make(map[string]bool)
	for i := range users {
		users[i] = e.user(t.Context())
	}
	for range users {
		byID[e.line()] = true
	}
	if len(byID) != n {
		t.Fatalf("%d ids for %d users", len(byID), n)
	}
	for id := range byID {
		client, err := e.claim(id)
		if err != nil {
			t.Fatal(err)
		}
		conntest.Write(t, client, id)
	}
	for _, user := range users {
		o := <-user
		if o.err != nil {
			t.Fatal(o.err)
		}
		if id := string(conntest.Read(t, o.conn, 26)); !byID[id] {
			t.Errorf("a user got the connection for %q, which another one got as well", id)
		} else {
			delete(byID, id)
		}
		_ = o.conn.Close()
	}
}

func TestUnknownID(t *testing.T) {
	e := newTunnel(t)
	got := e.user(t.Context())
	id := e.line()
	for _, wrong := range []string{"NOSUCHUSER", id + "X", id[:25], "new"} {
		client, err := e.claim(wrong)
		if !errors.Is(err, protocol.ErrUnknownID) {
			t.Errorf("id %q: got %v, want %v", wrong, err, protocol.ErrUnknownID)
		}
		conntest.WantReset(t, client)
	}
	client, err := e.claim(id) // the right one is as good as before
	if err != nil {
		t.Fatal(err)
	}
	o := <-got
	conntest.WantPair(t, o.conn, client)
	_ = o.conn.Close()
}

func TestIDIsUsedOnce(t *testing.T) {
	e := newTunnel(t)
	got := e.user(t.Context())
	id := e.line()
	client, err := e.claim(id)
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.claim(id)
	if !errors.Is(err, protocol.ErrUnknownID) {
		t.Errorf("the second claim gets %v, want %v", err, protocol.ErrUnknownID)
	}
	conntest.WantReset(t, again)
	o := <-got
	conntest.WantPair(t, o.conn, client)
	_ = o.conn.Close()
}

// Two claims of one id at the same time: one gets the user, the other one is
// reset, and they must agree on which is which.
func TestConcurrentClaims(t *testing.T) {
	e := newTunnel(t)
	for range 1000 {
		got := e.user(t.Context())
		id := e.line()
		type claimed struct {
			client *conntest.MemoryConn
			err    error
		}
		claims := make(chan claimed, 2)
		for range 2 {
			conn, client := conntest.Memory()
			go func() { claims <- claimed{client, e.relay.Claim(conn, "", id)} }()
		}
		o := <-got
		if o.err != nil {
			t.Fatal(o.err)
		}
		one, two := <-claims, <-claims
		if one.err != nil {
			one, two = two, one
		}
		if one.err != nil || !errors.Is(two.err, protocol.ErrUnknownID) {
			t.Fatalf("the claims got %v and %v, want one success", one.err, two.err)
		}
		conntest.WantReset(t, two.client)
		go func() { _, _ = one.client.Write([]byte("x")) }()
		conntest.Read(t, o.conn, 1)
		_ = o.conn.Close()
	}
}

func TestLateClaim(t *testing.T) {
	e := newTunnel(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	got := e.user(ctx)
	id := e.line()
	cancel(protocoltest.ErrUserLeft)
	if o := <-got; !errors.Is(o.err, protocoltest.ErrUserLeft) {
		t.Errorf("the user got %v, want the cause of the context", o.err)
	}
	client, err := e.claim(id)
	if !errors.Is(err, protocol.ErrUnknownID) {
		t.Errorf("the claim got %v, want %v", err, protocol.ErrUnknownID)
	}
	conntest.WantReset(t, client)
}

// A claim in the moment in which its user gives up either wins, and then the
// user has the connection, or it is refused. It is never lost.
func TestClaimAndExpiryRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemoryTunnel(t)
		defer e.control.Close()
		for range 1000 {
			ctx, cancel := context.WithCancelCause(t.Context())
			got := e.user(ctx)
			id := e.line()
			synctest.Wait()
			conn, client := conntest.Memory()
			cancel(protocoltest.ErrUserLeft) // wakes the user, who is seldom faster than the claim
			err := e.relay.Claim(conn, "", id)
			switch o := <-got; {
			case err == nil && o.err == nil:
				go func() { _, _ = client.Write([]byte("x")) }()
				conntest.Read(t, o.conn, 1)
				_ = o.conn.Close()
			case errors.Is(err, protocol.ErrUnknownID) && errors.Is(o.err, protocoltest.ErrUserLeft):
				conntest.WantReset(t, client)
			default:
				t.Fatalf("the claim got %v and the user got %v", err, o.err)
			}
		}
	})
}

// When the control connection ends, so does the tunnel: users who wait get an error,
// those who are served go on, and ids are void.
func TestControlConnectionEnds(t *testing.T) {
	for name, end := range map[string]func(*transport.Conn) error{
		"FIN": (*transport.Conn).CloseWrite, "closed": (*transport.Conn).Close, "reset": (*transport.Conn).Reset,
	} {
		t.Run(name, func(t *testing.T) {
			e := newTunnel(t)
			user, client := e.serve()
			waiting := e.user(t.Context())
			id := e.line()
			if err := end(e.control.(*transport.Conn)); err != nil {
				t.Fatal(err)
			}
			protocoltest.WantEnded(t, e.tunnel)
			if o := <-waiting; !errors.Is(o.err, protocol.ErrTunnelEnded) {
				t.Errorf("a waiting user got %v, want %v", o.err, protocol.ErrTunnelEnded)
			}
			if _, err := e.tunnel.Open(t.Context(), netip.AddrPort{}); err == nil {
				t.Error("a new user got a connection")
			}
			late, err := e.claim(id)
			if !errors.Is(err, protocol.ErrUnknownID) {
				t.Errorf("a late claim got %v, want %v", err, protocol.ErrUnknownID)
			}
			conntest.WantReset(t, late)
			conntest.WantPair(t, user, client)
		})
	}
}

func TestClose(t *testing.T) {
	e := newTunnel(t)
	user, client := e.serve()
	waiting := e.user(t.Context())
	e.line()
	for range 2 {
		if err := e.tunnel.Close(); err != nil {
			t.Error(err)
		}
	}
	protocoltest.WantEnded(t, e.tunnel)
	if o := <-waiting; !errors.Is(o.err, protocol.ErrTunnelEnded) {
		t.Errorf("a waiting user got %v, want %v", o.err, protocol.ErrTunnelEnded)
	}
	if more, err := io.ReadAll(e.lines); err != nil || len(more) > 0 {
		t.Errorf("the control connection goes on with %q, %v; want its end", more, err)
	}
	conntest.WantPair(t, user, client)
}

// A claim that comes after the end of the session does not get the user: the user goes to
// the next session, or is reset.
func TestClaimAfterEnd(t *testing.T) {
	e := newTunnel(t)
	o, err := e.tunnel.(protocol.Starter).Start(func(c conn.Conn) {
		t.Error("the user is joined")
		_ = c.Reset()
	})
	if err != nil {
		t.Fatal(err)
	}
	id := e.line()
	_ = e.tunnel.Close()
	client, err := e.claim(id)
	if !errors.Is(err, protocol.ErrLate) {
		t.Errorf("the claim got %v, want %v", err, protocol.ErrLate)
	}
	conntest.WantReset(t, client)
	if !o.Hold() {
		t.Fatal("the user is not held")
	}
	if _, err := o.Wait(t.Context()); !errors.Is(err, protocol.ErrTunnelEnded) {
		t.Errorf("the user got %v, want %v", err, protocol.ErrTunnelEnded)
	}
	if n := e.tunnel.(protocol.Claimable).ExpectedClaims(); n != 0 {
		t.Errorf("%d claims are expected, want none", n)
	}
}
