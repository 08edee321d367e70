package pool_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// patience bounds every wait that is over long before, unless the code is
// wrong.
const patience = 10 * time.Second

// idLength is that of the ids of today's relay, by docs/protocol.md.
const idLength = 26

// relayPool is a pool at the relay, as a relay client sees it.
type relayPool struct {
	*testing.T
	relay  *pool.Relay
	tunnel protocol.Session
	id     string
	first  *transport.Conn // the relay client's end of the connection that said new
}

func newPool(t *testing.T) *relayPool {
	t.Helper()
	return newPoolAt(t, pool.NewRelay(pool.Config{}))
}

func newPoolAt(t *testing.T, relay *pool.Relay) *relayPool {
	t.Helper()
	p := &relayPool{T: t, relay: relay}
	conn, client := protocoltest.Pair(t)
	tunnel, err := p.relay.Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tunnel.Close() })
	p.tunnel, p.first = tunnel, client
	port, id, _ := strings.Cut(string(conntest.Read(t, client, len("20001\n")+idLength+1)), "\n")
	if port != "20001" || !strings.HasSuffix(id, "\n") {
		t.Fatalf("the reply is %q and %q", port, id)
	}
	p.id = strings.TrimSuffix(id, "\n")
	return p
}

// add adds a connection to the pool, and returns the relay client's end.
func (p *relayPool) add() *transport.Conn {
	p.Helper()
	conn, client := protocoltest.Pair(p.T)
	if err := p.relay.Claim(conn, "", p.id); err != nil {
		p.Fatalf("a connection was not accepted: %v", err)
	}
	return client
}

// open opens a connection for a user, which has to be there.
func (p *relayPool) open() conn.Conn {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	conn, err := p.tunnel.Open(ctx, netip.AddrPort{})
	if err != nil {
		p.Fatalf("no connection for the user: %v", err)
	}
	p.Cleanup(func() { _ = conn.Reset() })
	return conn
}

// wantNone expects that no connection waits.
func (p *relayPool) wantNone() {
	p.Helper()
	ctx, cancel := context.WithCancelCause(p.Context())
	cancel(protocoltest.ErrUserLeft)
	if conn, err := p.tunnel.Open(ctx, netip.AddrPort{}); !errors.Is(err, protocoltest.ErrUserLeft) {
		p.Errorf("got connection %v and error %v from an empty pool", conn, err)
	}
}

// wantEnd expects an end without a byte before it.
func wantEnd(t *testing.T, conn io.Reader) {
	t.Helper()
	if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v; want the end and no byte", got, err)
	}
}
