// Package protocoltest has what the tests of every protocol need: a relay whose answers are
// the test's, nettest over its connections, and a fuzzer of what a hostile relay could
// send.
package protocoltest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/transport"
)

// patience bounds every wait that is over long before, unless the code is
// wrong.
const patience = 10 * time.Second

// Relay is a relay whose answers are the test's.
type Relay struct {
	*testing.T
	Listener *transport.Listener
}

// NewRelay makes one, which listens until the end of the test.
func NewRelay(t *testing.T) *Relay {
	t.Helper()
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &Relay{t, l}
}

// Dial is how relay clients connect.
func (r *Relay) Dial(ctx context.Context) (conn.Conn, error) {
	return transport.DialRelay(ctx, r.Listener.Addr().String())
}

// Next waits for the next connection, which has to begin with these lines, and returns it.
func (r *Relay) Next(lines string) conn.Conn {
	r.Helper()
	conn, err := r.Listener.Accept()
	if err != nil {
		r.Fatal(err)
	}
	lend(r.T, conn)
	got := make([]byte, len(lines))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != lines {
		r.Fatalf("a connection begins with %q, %v; want %q", got[:n], err, lines)
	}
	return conn
}

// Accept has the relay client accept a connection.
func Accept(t *testing.T, registration *Registration) conn.Conn {
	t.Helper()
	conn, err := registration.Accept()
	if err != nil {
		t.Fatal(err)
	}
	lend(t, conn)
	return conn
}

// lend bounds what the test does with conn, and for how long it has it.
func lend(t *testing.T, conn conn.Conn) {
	t.Helper()
	t.Cleanup(func() { _ = conn.Reset() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}
