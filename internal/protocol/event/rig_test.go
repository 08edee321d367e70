package event_test

import (
	"bufio"
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// relayEnd is a tunnel at the relay, as a relay client sees it.
type relayEnd struct {
	*testing.T
	relay   *event.Relay
	tunnel  protocol.Session
	control conn.Conn // the relay client's end
	lines   *bufio.Reader
}

func newTunnel(t *testing.T) *relayEnd {
	t.Helper()
	conn, client := protocoltest.Pair(t)
	return register(t, conn, client)
}

// newMemoryTunnel makes a tunnel for simulated time.
func newMemoryTunnel(t *testing.T) *relayEnd {
	t.Helper()
	conn, client := conntest.Memory()
	return register(t, conn, client)
}

func register(t *testing.T, conn, client conn.Conn) *relayEnd {
	t.Helper()
	e := &relayEnd{T: t, relay: event.NewRelay(event.Config{}), control: client, lines: bufio.NewReader(client)}
	registered := make(chan error, 1)
	go func() {
		var err error
		e.tunnel, err = e.relay.Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}})
		registered <- err
	}()
	if port := e.line(); port != "20001" {
		t.Fatalf("the reply is %q", port)
	}
	if err := <-registered; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.tunnel.Close() })
	return e
}

// line returns the next line of the control connection.
func (e *relayEnd) line() string {
	e.Helper()
	line, err := e.lines.ReadString('\n')
	if err != nil {
		e.Fatalf("the control connection gives %q, %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// opened is what a user got.
type opened struct {
	conn conn.Conn
	err  error
}

// user has a user wait. The channel gets the outcome.
func (e *relayEnd) user(ctx context.Context) <-chan opened {
	got := make(chan opened, 1)
	go func() {
		conn, err := e.tunnel.Open(ctx, netip.AddrPort{})
		got <- opened{conn, err}
	}()
	return got
}

// claim claims an id on a new connection, and returns the relay client's end.
func (e *relayEnd) claim(id string) (*transport.Conn, error) {
	e.Helper()
	conn, client := protocoltest.Pair(e.T)
	return client, e.relay.Claim(conn, "", id)
}

// serve makes a pair of a user and a relay client.
func (e *relayEnd) serve() (user conn.Conn, client *transport.Conn) {
	e.Helper()
	got := e.user(e.Context())
	client, err := e.claim(e.line())
	if err != nil {
		e.Fatal(err)
	}
	o := <-got
	if o.err != nil {
		e.Fatal(o.err)
	}
	e.Cleanup(func() { _ = o.conn.Reset() })
	return o.conn, client
}
