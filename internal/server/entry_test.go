package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/server"
)

// While as many users wait as may, a load balancer's further users are not admitted either.
func TestProxiedUsersWhoWaitAreBounded(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.TrustedProxies = prefixes("127.0.0.2/32")
		c.Limits.Waiting = 1
	})
	tunnel, _ := r.register()
	for i := range 30 {
		u := dialFrom(t, "127.0.0.2", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
		conntest.Write(t, u, fmt.Sprintf("PROXY TCP4 198.18.0.%d 198.51.100.1 4321 443\r\n", i+1))
	}
	r.wantSoon("users who wait", 1, func() int64 { return int64(r.State().Waiting) })
	<-time.After(grace)
	if n := r.State().Users; n > 3 { // one waits, one for its place, and one comes
		t.Errorf("%d users are admitted", n)
	}
}

// A connection that waits until its header may be read is reset when its port closes.
func TestPortClosesWhileHeadersAreRead(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.TrustedProxies = prefixes("127.0.0.2/32")
		c.Limits.Waiting = 1
	})
	tunnel, _ := r.register()
	addr := net.JoinHostPort(loopback, strconv.Itoa(tunnel.port))
	dialFrom(t, "127.0.0.2", addr) // sends nothing
	r.wantSoon("headers that are read", 1, func() int64 { return int64(r.State().Waiting) })
	second := dialFrom(t, "127.0.0.2", addr)
	<-time.After(grace) // it is accepted
	tunnel.end()
	began := time.Now()
	conntest.WantReset(t, second)
	if took := time.Since(began); took > 4*time.Second { // it takes 5 s to give up a header
		t.Errorf("reset after %v", took)
	}
}

// A user may meet the end of a session before the session says that it has ended: its
// port closes all the same.
func TestUserMeetsTheEndOfASessionFirst(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	u := dialFrom(t, "127.0.0.2", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
	o := <-tunnel.opens
	o.answer <- opened{nil, protocol.ErrTunnelEnded}
	conntest.WantReset(t, u)
	tunnel.end()
	r.wantSoon("ports", 0, func() int64 { return int64(r.State().Ports) })
	r.wantSoon("tunnels", 0, func() int64 { return int64(r.State().Tunnels) })
}

// expired is a store of leases that have expired while the relay was down.
type expired struct{ lease.Forget }

const manyExpired = 300

func (expired) Load() (all []lease.Lease, err error) {
	for i := range manyExpired {
		all = append(all, lease.Lease{Key: lease.Key{byte(i), byte(i >> 8)}, Port: 1000 + i, Until: time.Now().Add(-time.Hour)})
	}
	return all, nil
}

// The log names each lease that has expired while the relay was down, however many.
func TestExpiredLeasesAreLogged(t *testing.T) {
	var log bytes.Buffer
	s, err := server.New(server.Config{
		Protocols: under(verbs, newFakeProtocol()), Ports: freePorts(t, 1), Listen: listen, Leases: expired{},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if n := strings.Count(log.String(), "event=lease_ended"); n != manyExpired {
		t.Errorf("%d lines, want %d", n, manyExpired)
	}
}
