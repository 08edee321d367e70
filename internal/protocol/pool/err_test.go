package pool_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed96252745/relay/internal/protocol/protocoltest"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

func TestErrOfClosed(t *testing.T) {
	p := newPool(t)
	if err := context.Cause(p.tunnel.Ended()); err != nil {
		t.Errorf("Err is %v before the end", err)
	}
	_ = p.tunnel.Close()
	if err := context.Cause(p.tunnel.Ended()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Err is %v, want %v", err, net.ErrClosed)
	}
}

func TestErrOfLonely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		relay := pool.NewRelay(pool.Config{})
		conn, client := conntest.Memory()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		tunnel, err := relay.Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}})
		if err != nil {
			t.Fatal(err)
		}
		user, err := tunnel.Open(t.Context(), netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		_ = user.Close()
		<-tunnel.Ended().Done()
		_ = tunnel.Close()
		if err := context.Cause(tunnel.Ended()); err == nil || !strings.Contains(err.Error(), "no connection any more") {
			t.Errorf("Err is %v", err)
		}
	})
}

// panickyConn panics when it is read from. It is a connection of package
// transport otherwise, which can be watched.
type panickyConn struct{ *transport.Conn }

func (panickyConn) Read([]byte) (int, error) { panic("injected") }

func (panickyConn) WriteTo(io.Writer) (int64, error) { panic("injected") }

// A panic over one of its connections ends the pool, and no other.
func TestPanicEndsPool(t *testing.T) {
	relay := pool.NewRelay(pool.Config{})
	p, other := newPoolAt(t, relay), newPoolAt(t, relay)
	conn, client := protocoltest.Pair(t)
	if err := relay.Claim(panickyConn{conn}, "", p.id); err != nil {
		t.Fatal(err)
	}
	_ = client.CloseWrite() // has it taken out, and what it said read
	<-p.tunnel.Ended().Done()
	var crashed *crash.Error
	if err := context.Cause(p.tunnel.Ended()); !errors.As(err, &crashed) || crashed.Value != "injected" {
		t.Errorf("Err is %v, want the panic", err)
	}
	wantEnd(t, client)
	conntest.WantPair(t, other.open(), other.first)
}
