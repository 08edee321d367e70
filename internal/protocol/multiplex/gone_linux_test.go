package multiplex_test

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// lateConn is a connection whose reader gets no processor until it may.
type lateConn struct {
	conn.Conn
	may chan struct{}
}

func (c lateConn) Unwrap() (inner conn.Conn, sameBytes bool) { return c.Conn, false }

func (c lateConn) Read(b []byte) (int, error) {
	<-c.may
	return c.Conn.Read(b)
}

// A user who comes when the relay client is gone, and the session has not read so
// yet, is not sent after it. Only Linux shows it.
func TestOpenBehindTheEnd(t *testing.T) {
	for name, end := range map[string]func(conn.Conn) error{
		"FIN": conn.Conn.CloseWrite,
		"RST": conn.Conn.Reset,
	} {
		t.Run(name, func(t *testing.T) {
			conn, client := protocoltest.Pair(t)
			late := lateConn{conn, make(chan struct{})}
			tunnel, _ := register(t, late, client)
			if err := end(client); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(patience); tcpstate.Of(conn) < tcpstate.Ended; runtime.Gosched() {
				if time.Now().After(deadline) {
					t.Fatal("the end did not arrive")
				}
			}
			if user := tunnel.(protocol.TryOpener).TryOpen(); user != nil {
				t.Error("a user has a stream to who is gone")
			}
			left, leave := context.WithCancelCause(t.Context())
			leave(protocoltest.ErrUserLeft)
			if _, err := tunnel.Open(left, netip.AddrPort{}); !errors.Is(err, protocoltest.ErrUserLeft) {
				t.Errorf("Open gives %v to a user who left, want %v", err, protocoltest.ErrUserLeft)
			}
			opened := make(chan error, 1)
			go func() {
				_, err := tunnel.Open(t.Context(), netip.AddrPort{})
				opened <- err
			}()
			close(late.may)
			if err := <-opened; !errors.Is(err, protocol.ErrTunnelEnded) {
				t.Errorf("Open gives %v, want %v", err, protocol.ErrTunnelEnded)
			}
		})
	}
}
