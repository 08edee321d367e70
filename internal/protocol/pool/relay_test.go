package pool_test

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

func TestRegister(t *testing.T) {
	p := newPool(t)
	if !regexp.MustCompile(`^[A-Z2-7]{26}$`).MatchString(p.id) {
		t.Errorf("the id is %q", p.id)
	}
	// The connection that said new is the first of the pool.
	conntest.WantPair(t, p.open(), p.first)
	p.wantNone()
}

func TestRegisterOnDeadConnection(t *testing.T) {
	conn, client := protocoltest.Pair(t)
	_ = conn.Close()
	if tunnel, err := pool.NewRelay(pool.Config{}).Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}}); err == nil {
		_ = tunnel.Close()
		t.Error("registered on a connection that cannot be written to")
	}
	wantEnd(t, client)
}

// The newest connection has the freshest way through the NATs between.
func TestNewestFirst(t *testing.T) {
	p := newPool(t)
	clients := []*transport.Conn{p.first}
	for range 5 {
		clients = append(clients, p.add())
	}
	for i := len(clients) - 1; i >= 0; i-- {
		conntest.WantPair(t, p.open(), clients[i])
	}
	p.wantNone()
}

// TryOpen returns the newest connection that is alive, and nothing when
// there is none.
func TestTryOpen(t *testing.T) {
	p := newPool(t)
	session := p.tunnel.(protocol.TryOpener)
	_ = p.add().Close()
	conn := session.TryOpen()
	if conn == nil {
		t.Fatal("there is no connection")
	}
	defer conn.Close()
	conntest.WantPair(t, conn, p.first)
	if conn := session.TryOpen(); conn != nil {
		t.Errorf("got %v from an empty pool", conn)
	}
	_ = p.tunnel.Close()
	if conn := session.TryOpen(); conn != nil {
		t.Errorf("got %v from a pool that is closed", conn)
	}
}

// A server that speaks first speaks before its user has come.
func TestBannerIsKept(t *testing.T) {
	p := newPool(t)
	conntest.Write(t, p.first, "220 ready\r\n")
	user := p.open()
	conntest.WantRead(t, user, "220 ready\r\n")
	conntest.WantPair(t, user, p.first)
}

// A connection that its relay client has ended is of no use any more, also if
// the end stands behind bytes that nobody has read.
func TestEndedConnectionIsDropped(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *transport.Conn){
		"FIN":                func(t *testing.T, c *transport.Conn) { _ = c.CloseWrite() },
		"FIN behind bytes":   func(t *testing.T, c *transport.Conn) { conntest.Write(t, c, "220 ready\r\n"); _ = c.CloseWrite() },
		"closed":             func(t *testing.T, c *transport.Conn) { _ = c.Close() },
		"reset":              func(t *testing.T, c *transport.Conn) { _ = c.Reset() },
		"reset behind bytes": func(t *testing.T, c *transport.Conn) { conntest.Write(t, c, "220 ready\r\n"); _ = c.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			// Repeated, because the drop and the user race.
			for range 20 {
				p := newPool(t)
				ended := p.add()
				end(t, ended)
				conntest.WantPair(t, p.open(), p.first)
				p.wantNone()
			}
		})
	}
}

// The relay closes its side too, with an end: a reset would tell the relay
// client that its pool is unknown.
func TestEndedConnectionIsClosed(t *testing.T) {
	for _, banner := range []string{"", "220 ready\r\n"} {
		t.Run(banner, func(t *testing.T) {
			p := newPool(t)
			client := p.add()
			conntest.Write(t, client, banner)
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, client)
		})
	}
}

// A reset without a byte is all that a claim which names nothing gets: bytes
// would be taken for a user's.
func TestUnknownID(t *testing.T) {
	p := newPool(t)
	for _, id := range []string{"NOSUCHPOOL", p.id + "X", p.id[:25], "new"} {
		conn, client := protocoltest.Pair(t)
		conntest.Write(t, client, "payload")
		if err := p.relay.Claim(conn, "", id); !errors.Is(err, protocol.ErrUnknownID) {
			t.Errorf("id %q: got %v, want %v", id, err, protocol.ErrUnknownID)
		}
		conntest.WantReset(t, client)
	}
	conntest.WantPair(t, p.open(), p.first)
}

func TestTwoPoolsAreApart(t *testing.T) {
	r := pool.NewRelay(pool.Config{})
	one, two := newPoolAt(t, r), newPoolAt(t, r)
	if one.id == two.id {
		t.Fatal("two pools have one id")
	}
	client := one.add()
	conntest.WantPair(t, two.open(), two.first)
	two.wantNone()
	conntest.WantPair(t, one.open(), client)
}

func TestClose(t *testing.T) {
	p := newPool(t)
	busy := p.add()
	user := p.open()
	for range 2 {
		if err := p.tunnel.Close(); err != nil {
			t.Error(err)
		}
	}
	<-p.tunnel.Ended().Done()
	wantEnd(t, p.first) // it waited
	conntest.WantPair(t, user, busy)
	if _, err := p.tunnel.Open(t.Context(), netip.AddrPort{}); !errors.Is(err, protocol.ErrTunnelEnded) {
		t.Errorf("a new user gets %v, want %v", err, protocol.ErrTunnelEnded)
	}
	conn, client := protocoltest.Pair(t)
	if err := p.relay.Claim(conn, "", p.id); !errors.Is(err, protocol.ErrUnknownID) {
		t.Errorf("a new connection gets %v, want %v", err, protocol.ErrUnknownID)
	}
	conntest.WantReset(t, client)
	if err := user.Close(); err != nil { // after its tunnel, as users do
		t.Error(err)
	}
}

// Users and connections that come at the same time find each other, one to
// one.
func TestUsersAndConnectionsAtOnce(t *testing.T) {
	const n = 50
	p := newPool(t)
	p.open() // takes the first, so that there are n of each
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var running sync.WaitGroup
	users := make(chan conn.Conn, n)
	for range n {
		conn, client := protocoltest.Pair(t)
		running.Go(func() {
			if err := p.relay.Claim(conn, "", p.id); err != nil {
				t.Error(err)
			}
			b := make([]byte, 1)
			if _, err := client.Read(b); err != nil {
				t.Error(err)
			}
			if _, err := client.Write(b); err != nil {
				t.Error(err)
			}
		})
		running.Go(func() {
			user, err := p.tunnel.Open(ctx, netip.AddrPort{})
			if err != nil {
				t.Error(err)
				return
			}
			users <- user
		})
	}
	for i := range n {
		user := <-users
		conntest.Write(t, user, string(rune('A'+i)))
		if got := conntest.Read(t, user, 1); got[0] != byte('A'+i) {
			t.Errorf("user %d got %q", i, got)
		}
		_ = user.Close()
	}
	running.Wait()
	p.wantNone()
}
