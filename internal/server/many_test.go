package server_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
)

// A peer on loopback is a proxy: no limit for one source holds for it, neither for tunnels
// nor for handshakes nor for wrong claims. Limits in all do.
func TestRelayClientsFromLoopback(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Limits.TunnelsPerSource, c.Limits.TunnelsPerNetwork = 1, 1
		c.Limits.HandshakesPerSource, c.Limits.Handshakes = 1, 30
		c.Limits.WrongClaims = 1 // 50 at the start
		use(c, "pool", brokenProtocol{})
		c.Ports = freePorts(t, 5)
	}).listenFor()
	for range 5 {
		r.register()
	}
	r.refusal("multiplex\n") // for want of a port
	r.wantCounted(admission.NoPort, 1)
	for range 60 {
		conntest.WantReset(t, r.request("pool\nWRONG\n"))
	}
	r.wantCounted(admission.WrongClaims, 60)
	var silent []*net.TCPConn
	for range 30 {
		silent = append(silent, r.request("m"))
	}
	r.wantSoon("handshakes", 30, func() int64 { return int64(r.State().Handshakes) })
	r.request("m")
	conntest.WantReset(t, silent[0])
	conntest.Write(t, silent[1], "ultiplex\n") // it was not reset
	conntest.Read(t, silent[1], 1)
	for kind, want := range map[admission.Kind]int64{
		admission.Handshakes: 1, admission.HandshakesPerSource: 0, admission.TunnelsPerSource: 0, admission.TunnelsPerNetwork: 0, admission.SourcesShutOut: 0,
	} {
		r.wantCounted(kind, want)
	}
}

// The addresses of one network cannot have all ports, though each has few.
func TestTunnelsPerNetwork(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Limits.TunnelsPerNetwork = 3
		c.Ports = freePorts(t, 5)
	})
	var tunnels []*fakeTunnel
	register := func(from int) (answer string) {
		conn := dialFrom(t, fmt.Sprintf("127.0.0.%d", from), r.addr)
		conntest.Write(t, conn, "multiplex\n")
		if answer = r.answer(conn); answer[0] != '-' {
			tunnels = append(tunnels, <-r.fake.tunnels)
		}
		return answer
	}
	for from := range 3 {
		if answer := register(10 + from); answer[0] == '-' {
			t.Fatalf("a tunnel is refused: %s", answer)
		}
	}
	if got, want := register(20), "-limit the network of this address has as many tunnels as the relay allows: 3"; got != want {
		t.Errorf("one too many is answered by %q, want %q", got, want)
	}
	r.wantCounted(admission.TunnelsPerNetwork, 1)
	r.wantSoon("tunnels", 3, func() int64 { return int64(r.State().Tunnels) })
	r.leave(tunnels[0])
	if answer := register(20); answer[0] == '-' {
		t.Errorf("the place of a tunnel that has ended is refused: %s", answer)
	}
}

// Private addresses of a network with proxies are shared sources, and others are not.
func TestUsersFromATrustedNetwork(t *testing.T) {
	for from, many := range map[string]bool{"10.1.2.3": true, "10.2.2.3": false, "192.0.2.1": false} {
		t.Run(from, func(t *testing.T) {
			r := start(t, usersFrom(from), usersPerSource(1), func(c *server.Config) {
				c.ControlProxies = prefixes("10.1.0.0/16", "192.0.2.0/24")
			})
			tunnel, _ := r.register()
			r.join(tunnel)
			if many {
				r.join(tunnel)
				return
			}
			wantTurnedAway(t, tunnel)
			r.wantCounted(admission.UsersPerSource, 1)
		})
	}
}

// A tunnel takes the share of its token, or else of its address, unless strangers share that.
func TestHolders(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Ports = freePorts(t, 6)
		c.Identify = func(_ conn.Conn, token string) (auth.Identity, error) { return auth.Identity{Name: token}, nil }
	})
	loopback := r.listenFor()
	holder := func(r *relay, from, lines string) string {
		t.Helper()
		conn := dialFrom(t, from, r.addr)
		conntest.Write(t, conn, lines)
		if answer := r.answer(conn); answer[0] == '-' {
			t.Fatalf("refused: %s", answer)
		}
		return (<-r.fake.tunnels).grant.Holder
	}
	a, b := holder(r, "127.0.0.1", "multiplex\n"), holder(r, "127.0.0.2", "multiplex\n")
	known := holder(r, "127.0.0.1", "+token a\nmultiplex\n")
	if a == "" || a == b || known == "" || known == a {
		t.Errorf("the holders are %q, %q and with a token %q", a, b, known)
	}
	if again := holder(r, "127.0.0.1", "multiplex\n"); again != a {
		t.Errorf("the holder is %q the second time, and was %q", again, a)
	}
	if got := holder(loopback, "127.0.0.1", "+token a\nmultiplex\n"); got != known {
		t.Errorf("with the token from loopback the holder is %q, want %q", got, known)
	}
	if got := holder(loopback, "127.0.0.1", "multiplex\n"); got != "" {
		t.Errorf("from loopback the holder is %q", got)
	}
}
