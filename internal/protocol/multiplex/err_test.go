package multiplex_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/yamux"
)

func TestErr(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(yamuxPeer)
		want error
	}{
		"FIN":            {func(p yamuxPeer) { p.conn.CloseWrite() }, io.ErrUnexpectedEOF},
		"RST":            {func(p yamuxPeer) { p.conn.Reset() }, syscall.ECONNRESET},
		"protocol error": {func(p yamuxPeer) { p.send(frame{kind: 9}) }, yamux.ErrProtocol},
		"GO_AWAY":        {func(p yamuxPeer) { p.send(frame{kind: typeGoAway}) }, protocol.ErrLeft},
	} {
		t.Run(name, func(t *testing.T) {
			tunnel, client := newTunnel(t)
			if err := context.Cause(tunnel.Ended()); err != nil {
				t.Errorf("Err is %v before the end", err)
			}
			tt.end(client)
			protocoltest.WantEnded(t, tunnel)
			if err := context.Cause(tunnel.Ended()); !errors.Is(err, tt.want) {
				t.Errorf("Err is %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("Close", func(t *testing.T) {
		tunnel, _ := newTunnel(t)
		_ = tunnel.Close()
		if err := context.Cause(tunnel.Ended()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Err is %v, want %v", err, net.ErrClosed)
		}
	})
}

// panickyConn panics when it has read something.
type panickyConn struct{ conn.Conn }

func (c panickyConn) Read(b []byte) (int, error) {
	if n, err := c.Conn.Read(b); err != nil {
		return n, err
	}
	panic("injected")
}

func TestPanicEndsTunnel(t *testing.T) {
	conn, client := protocoltest.Pair(t)
	tunnel, peer := register(t, panickyConn{conn}, client)
	user := open(t, tunnel)
	peer.send(frame{kind: typeWindow, flags: flagACK, stream: 1})
	protocoltest.WantEnded(t, tunnel)
	_, err := user.Read(make([]byte, 1))
	for what, err := range map[string]error{"Err": context.Cause(tunnel.Ended()), "the error of a user's stream": err} {
		var crashed *crash.Error
		if !errors.As(err, &crashed) || crashed.Value != "injected" {
			t.Errorf("%s is %v, want the panic", what, err)
		}
	}
}

// A relay's limit and its counters are those of all its tunnels.
func TestLimitsOfRelay(t *testing.T) {
	var counters multiplex.Counters
	relay := &multiplex.Relay{MaxStreams: 1, Counters: &counters}
	for range 2 {
		tunnel, peer := registerAt(t, relay)
		openAcknowledged(t, tunnel, peer)
		if conn, err := tunnel.Open(t.Context(), netip.AddrPort{}); !errors.Is(err, protocol.ErrNoStream) {
			t.Errorf("a second user got %v, %v; want %v", conn, err, protocol.ErrNoStream)
		}
		peer.send(frame{kind: 9})
		protocoltest.WantEnded(t, tunnel)
		_ = tunnel.Close()
	}
	if refused, broken := counters.Refused.Load(), counters.Broken.Load(); refused != 2 || broken != 2 {
		t.Errorf("counted %d refused streams and %d broken sessions, want 2 of each", refused, broken)
	}
}
