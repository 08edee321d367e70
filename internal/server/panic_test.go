package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/server"
)

// broken is a protocol with a bug, somewhere.
type broken struct {
	*fakeProtocol
	in string
}

// brokenHere is what every bug in a test panics with.
const brokenHere = "broken here"

func (b broken) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	if b.in == "Register" {
		panic(brokenHere)
	}
	tunnel, err := b.fakeProtocol.Register(conn, g)
	return brokenTunnel{tunnel, b.in}, err
}

func (b broken) Claim(conn conn.Conn, owner, id string) error {
	if b.in == "Claim" {
		panic(brokenHere)
	}
	return b.fakeProtocol.Claim(conn, owner, id)
}

type brokenTunnel struct {
	protocol.Session
	in string
}

func (t brokenTunnel) Open(ctx context.Context, user netip.AddrPort) (conn.Conn, error) {
	if t.in == "Open" {
		panic(brokenHere)
	}
	conn, err := t.Session.Open(ctx, user)
	return brokenConn{conn, t.in}, err
}

func (t brokenTunnel) TryOpen() conn.Conn {
	if t.in == "TryOpen" {
		panic(brokenHere)
	}
	return nil
}

func (t brokenTunnel) StopAccepting() { protocol.StopAccepting(t.Session) }

func (t brokenTunnel) Drain() {
	if t.in == "Drain" {
		panic(brokenHere)
	}
	protocol.Drain(t.Session)
}

type brokenConn struct {
	conn.Conn
	in string
}

func (c brokenConn) Read(b []byte) (int, error) {
	if c.in == "Read" {
		panic(brokenHere)
	}
	return c.Conn.Read(b)
}

// lockedBuffer is a log that is written to and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex // guards what follows
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) count(what string) int64 { return int64(strings.Count(l.String(), what)) }

// A bug in the code of one connection or tunnel ends that, is counted, and has one
// line in the log with its stack. Nobody else notices.
func TestPanics(t *testing.T) {
	for _, in := range []string{"Register", "Claim", "Open", "TryOpen", "Drain", "Read"} {
		t.Run(in, func(t *testing.T) {
			var log lockedBuffer
			r := start(t, func(c *server.Config) {
				use(c, "event", broken{fakeIn(c), in})
				c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			r.panics = true
			good, _ := r.register()
			u, client := r.join(good)
			for n := range int64(3) {
				r.provoke(t, in, &log)
				r.wantCounted(admission.Panics, n+1)
				conntest.WantPair(t, u, client)
				r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
				r.wantSoon("users", 1, func() int64 { return int64(r.State().Users) })
			}
			r.join(good)
			r.wantSoon("lines about 3 panics", 3, func() int64 { return log.count(brokenHere) }) // each is counted before
			if !strings.Contains(log.String(), "server_test.broken") {
				t.Errorf("no stack in the log:\n%s", log.String())
			}
		})
	}
}

// provoke makes the bug happen, and leaves nothing behind.
func (r *relay) provoke(t *testing.T, in string, log *lockedBuffer) {
	t.Helper()
	opened := log.count("tunnel opened")
	switch in {
	case "Register":
		conntest.WantReset(t, r.request("event\nnew\n"))
		return
	case "Claim":
		conntest.WantReset(t, r.request("event\nTHEID\n"))
		return
	}
	conn := r.request("event\nnew\n")
	tunnel := <-r.fake.tunnels
	conntest.Read(t, conn, len("1234\n"))
	// Who comes before the tunnel is behind its port has to wait, instead of TryOpen.
	r.wantSoon("tunnels opened", opened+1, func() int64 { return log.count("tunnel opened") })
	switch in {
	case "Open", "TryOpen":
		wantTurnedAway(t, tunnel)
	case "Read":
		u := user(t, tunnel)
		tunnel.next(t).serve(t)
		conntest.WantReset(t, u)
	}
	tunnel.end()
}

// nameless is a connection with a bug.
type nameless struct{ conn.Conn }

func (nameless) RemoteAddr() net.Addr { panic(brokenHere) }

// A panic before anything has been read of a connection to the control port ends that
// connection. Others are answered, and Close waits for none that has ended.
func TestPanicAtControlPort(t *testing.T) {
	for name, proxies := range map[string][]netip.Prefix{
		"relay client": nil, "load balancer": {netip.MustParsePrefix("192.0.2.0/24")},
	} {
		t.Run(name, func(t *testing.T) {
			l := newFakeListener()
			broken, peer := connection(t)
			l.results <- result{conn: nameless{broken}}
			good, goodPeer := connection(t)
			l.results <- result{conn: good}
			r := start(t, func(c *server.Config) { c.ControlProxies = proxies })
			r.panics = true
			go func() { r.served <- r.Serve(l) }()
			conntest.WantReset(t, peer)
			conntest.Write(t, goodPeer, "multiplex\n")
			r.join(<-r.fake.tunnels)
			r.wantCounted(admission.Panics, 1)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				r.Close()
			}()
			wantClosed(t, "closing the relay", closed)
			for range 2 {
				r.wantServed(server.ErrServerClosed)
			}
		})
	}
}
