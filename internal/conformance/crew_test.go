package conformance_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// crew is a relay that can be started again, and forwarders of one owner and one group.
type crew struct {
	*testing.T
	protocol  relay.Protocol
	dir, addr string
	ports     port.Range
	secret    string
	own       tls.Certificate
	encrypt   *tls.Config // of forwarders; nil is plain text
	server    *server.Server
	stop      func()
	names     byte

	mu     sync.Mutex
	joined map[string][]string // with which relay clients, by the address of users, which may be used again
	reset  map[string]error    // users who were not joined
}

// eachCrew runs the test for every protocol over every transport.
func eachCrew(t *testing.T, test func(c *crew)) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		for _, name := range []string{"plain", "tls"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := newCrew(t, protocol)
				if name == "plain" {
					c.encrypt = nil
				}
				test(c)
			})
		}
	})
}

func newCrew(t *testing.T, protocol relay.Protocol) *crew {
	t.Helper()
	c := &crew{
		T: t, protocol: protocol, dir: t.TempDir(), addr: net.JoinHostPort("127.0.0.1", conntest.FreePort(t)),
		ports: freeRange(t, 4), secret: auth.NewSecret(),
		joined: make(map[string][]string), reset: make(map[string]error),
	}
	c.own, c.encrypt = newCertificate(t)
	must(t, os.WriteFile(c.file("tokens"), []byte("owner "+auth.Hash(c.secret)+" ports=1-65535\n"), 0o600), os.WriteFile(c.file("secret"), []byte(c.secret+"\n"), 0o600))
	c.start()
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *crew) file(name string) string { return filepath.Join(c.dir, name) }

// start starts the relay, with the leases that it had.
func (c *crew) start() {
	c.Helper()
	log := slog.New(slog.NewTextHandler(c.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	tokens, err := auth.Open(c.file("tokens"), log)
	must(c.T, err)
	leases, err := lease.Open(c.file("leases"))
	must(c.T, err)
	c.server, err = node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: c.ports, Tokens: tokens, Leases: leases, Probe: time.Second,
		Limits: admission.Limits{HandshakeTimeout: patience, UserWait: patience},
		TLS:    certificate.ServerConfig{GetCertificate: certificate.Fixed(c.own)}.TLS(),
		Logger: log, Sinks: []observe.Sink{c},
	})
	must(c.T, err)
	l, err := transport.ListenRelayClients(c.addr)
	must(c.T, err)
	served, s := make(chan error, 1), c.server
	go func() { served <- s.Serve(l) }()
	c.stop = func() {
		s.Close()
		<-served // its error says only that it was closed
		tokens.Close()
		_ = leases.Close()
		c.stop = func() {}
	}
}

// Observe notes what becomes of users.
func (c *crew) Observe(e observe.Event) {
	if e.User == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Name {
	case observe.UserJoined:
		user := e.User.String()
		c.joined[user] = append(c.joined[user], e.Tunnel.RelayClient.String())
	case observe.UserReset:
		c.reset[e.User.String()] = fmt.Errorf("%s: %w", e.Reason, e.Err)
	}
}

// member is a forwarder of the group.
type member struct {
	*served
	ended chan error
}

// join starts a forwarder of the group before a server of its own, and does not wait. The
// change, if it is not nil, changes its options.
func (c *crew) join(key string, change func(*relay.Options)) *member {
	c.Helper()
	return c.joinAt(key, serveLocal(c.T, greetAndEcho(c.names+1)), change)
}

// joinAt is join before a server that the caller runs at an address.
func (c *crew) joinAt(key, local string, change func(*relay.Options)) *member {
	c.Helper()
	c.names++
	m := &member{served: &served{name: c.names, registered: make(chan string, 100), refused: make(refusals, 100)}, ended: make(chan error, 1)}
	options := relay.Options{
		Group: "web", Keys: oneKey(key), Name: key, Token: c.secret, TLS: c.encrypt, Drain: -1, Logger: slog.New(m.refused),
		OnRegister: func(public net.Addr) { m.registered <- public.String() },
	}
	if change != nil {
		change(&options)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	addr := c.addr
	go func() {
		defer close(ended)
		m.ended <- relay.Forward(ctx, addr, local, with(c.protocol, options))
	}()
	m.stop = func() {
		cancel()
		<-ended
	}
	c.Cleanup(func() { m.stop() })
	return m
}

// serve is join, and waits until the forwarder has registered.
func (c *crew) serve(key string, change func(*relay.Options)) *member {
	c.Helper()
	m := c.join(key, change)
	m.public = within(c.T, m.registered, "the forwarder to register")
	return m
}

// greetAndEcho sends each user the name of a server, and echoes.
func greetAndEcho(name byte) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		_, _ = conn.Write([]byte{name})
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	}
}

// await waits until the only port is as it should be.
func (c *crew) await(what string, is func(endpoint.Snapshot) bool) endpoint.Snapshot {
	c.Helper()
	for since := time.Now(); ; <-time.After(5 * time.Millisecond) {
		all := c.server.Endpoints()
		if len(all) == 1 && is(all[0]) {
			return all[0]
		}
		if time.Since(since) > patience {
			c.Fatalf("waited in vain for %s: %+v", what, all)
		}
	}
}

// awaitMembers waits until so many relay clients are up.
func (c *crew) awaitMembers(n int) endpoint.Snapshot {
	c.Helper()
	return c.await(fmt.Sprint(n, " members"), func(s endpoint.Snapshot) bool {
		for _, m := range s.Members {
			if m.Health.State != observe.Up {
				return false
			}
		}
		return len(s.Members) == n
	})
}

// user connects a user, from an address if that is not empty, and returns by which member it
// is served.
func (c *crew) user(public, from string) (conn *net.TCPConn, name byte) {
	c.Helper()
	var dialer net.Dialer
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	dialed, err := dialer.Dial("tcp", public)
	must(c.T, err)
	c.Cleanup(func() { _ = dialed.Close() })
	_ = dialed.SetDeadline(time.Now().Add(patience))
	var greeting [1]byte
	_, err = io.ReadFull(dialed, greeting[:])
	must(c.T, err)
	echoes(c.T, dialed)
	return dialed.(*net.TCPConn), greeting[0]
}

// echoes expects that what is written comes back.
func echoes(t *testing.T, conn net.Conn) {
	t.Helper()
	const n = 10_000
	sent := make(chan error, 1)
	go func() { sent <- send(conn, newStream(1), n) }()
	must(t, expect(conn, newStream(1), n), <-sent)
}

// counts connects users, who stay, and returns how many each member serves.
func (c *crew) counts(public string, users int) (conns map[byte][]*net.TCPConn) {
	c.Helper()
	conns = make(map[byte][]*net.TCPConn)
	for range users {
		conn, name := c.user(public, "")
		conns[name] = append(conns[name], conn)
	}
	return conns
}

func (c *crew) wantCounts(got map[byte][]*net.TCPConn, want map[*member]int) {
	c.Helper()
	for m, n := range want {
		if len(got[m.name]) != n {
			c.Errorf("member %d serves %d users, want %d", m.name, len(got[m.name]), n)
		}
	}
}
