package multiplex_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/wire"
)

// patience bounds every wait that is over long before, unless the code is
// wrong.
const patience = 10 * time.Second

// newTunnel makes a tunnel at the relay, and returns its relay client.
func newTunnel(t *testing.T) (protocol.Session, yamuxPeer) {
	t.Helper()
	conn, client := protocoltest.Pair(t)
	return register(t, conn, client)
}

// registerAt makes a tunnel at this relay.
func registerAt(t *testing.T, relay protocol.Relay) (protocol.Session, yamuxPeer) {
	t.Helper()
	conn, client := protocoltest.Pair(t)
	return registerOver(t, relay, conn, client)
}

// register registers over any pair of connections.
func register(t *testing.T, conn, client conn.Conn) (protocol.Session, yamuxPeer) {
	t.Helper()
	return registerOver(t, &multiplex.Relay{}, conn, client)
}

func registerOver(t *testing.T, relay protocol.Relay, conn, client conn.Conn) (protocol.Session, yamuxPeer) {
	t.Helper()
	var tunnel protocol.Session
	registered := make(chan error, 1)
	go func() {
		var err error
		tunnel, err = relay.Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}})
		registered <- err
	}()
	if reply := string(conntest.Read(t, client, len("20001\n"))); reply != "20001\n" {
		t.Fatalf("the reply is %q", reply)
	}
	if err := <-registered; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Reset() // Close would wait for it
		_ = tunnel.Close()
	})
	return tunnel, yamuxPeer{t, client}
}

// open is a user who gets a stream at once.
func open(t *testing.T, tunnel protocol.Session) conn.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := tunnel.Open(ctx, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// openAcknowledged opens the first stream of a tunnel.
func openAcknowledged(t *testing.T, tunnel protocol.Session, client yamuxPeer) conn.Conn {
	t.Helper()
	user := open(t, tunnel)
	client.want(frame{kind: typeWindow, flags: flagSYN, stream: 1})
	client.send(frame{kind: typeWindow, flags: flagACK, stream: 1})
	return user
}

// wantFailure expects that reading fails in a way that cannot be taken for an
// end, and without waiting for its deadline.
func wantFailure(t *testing.T, conn io.Reader) {
	t.Helper()
	if got, err := io.ReadAll(conn); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 0 {
		t.Errorf("got %q, %v (nil is EOF); want a failure", got, err)
	}
}
