package pool_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/wire"
)

// memoryPool is a pool whose connections are in memory, for simulated time.
// The relay cannot watch them for their end.
type memoryPool struct {
	relay  *pool.Relay
	tunnel protocol.Session
	id     string
	first  *conntest.MemoryConn
}

func newMemoryPool(t *testing.T) *memoryPool {
	t.Helper()
	conn, client := conntest.Memory()
	reply := make(chan []byte)
	go func() {
		b := make([]byte, len("20001\n")+idLength+1)
		_, _ = io.ReadFull(client, b)
		reply <- b
	}()
	p := &memoryPool{relay: pool.NewRelay(pool.Config{}), first: client}
	tunnel, err := p.relay.Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}})
	if err != nil {
		t.Fatal(err)
	}
	p.tunnel = tunnel
	p.id = strings.Fields(string(<-reply))[1]
	return p
}

func (p *memoryPool) claim() (*conntest.MemoryConn, error) {
	conn, client := conntest.Memory()
	return client, p.relay.Claim(conn, "", p.id)
}

// add adds a connection to the pool, and returns the relay client's end.
func (p *memoryPool) add(t *testing.T) *conntest.MemoryConn {
	t.Helper()
	client, err := p.claim()
	if err != nil {
		t.Fatalf("a connection was not accepted: %v", err)
	}
	return client
}

// take opens a connection for a user, which has to be there.
func (p *memoryPool) take(t *testing.T) conn.Conn {
	t.Helper()
	conn, err := p.tunnel.Open(t.Context(), netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// opened is what a user got.
type opened struct {
	user int
	conn conn.Conn
	err  error
}

// wait has a user wait, and sends the outcome to got.
func (p *memoryPool) wait(ctx context.Context, user int, got chan<- opened) {
	conn, err := p.tunnel.Open(ctx, netip.AddrPort{})
	got <- opened{user, conn, err}
}

// wantMemoryPair expects that conn is the relay's end of client.
func wantMemoryPair(t *testing.T, conn io.Writer, client io.Reader) {
	t.Helper()
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write([]byte("x"))
		wrote <- err
	}()
	conntest.Read(t, client, 1)
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// At most 256 connections wait. One more gets an end, not a reset: its id is right, and
// the relay client must not take its pool for gone.
func TestFull(t *testing.T) {
	p := newMemoryPool(t)
	defer p.tunnel.Close()
	for range 255 {
		p.add(t)
	}
	for range 3 {
		client, err := p.claim()
		if !errors.Is(err, protocol.ErrFull) {
			t.Fatalf("connection 257: got %v, want %v", err, protocol.ErrFull)
		}
		wantEnd(t, client)
	}
	user := p.take(t)
	defer user.Close()
	newest := p.add(t) // there is room for one
	if _, err := p.claim(); !errors.Is(err, protocol.ErrFull) {
		t.Errorf("then connection 257: got %v, want %v", err, protocol.ErrFull)
	}
	next := p.take(t)
	defer next.Close()
	wantMemoryPair(t, next, newest)
}
