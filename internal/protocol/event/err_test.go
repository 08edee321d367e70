package event_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/protocoltest"
)

// wantErr expects that the tunnel has ended for this reason.
func wantErr(t *testing.T, tunnel protocol.Session, want string) {
	t.Helper()
	if err := context.Cause(tunnel.Ended()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the tunnel has ended because of %v, want %q", err, want)
	}
}

func TestErr(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*relayEnd)
		want string
	}{
		"FIN":   {func(e *relayEnd) { e.control.CloseWrite() }, "ended the control connection"},
		"RST":   {func(e *relayEnd) { e.control.Reset() }, "connection reset"},
		"input": {func(e *relayEnd) { conntest.Write(t, e.control, strings.Repeat("x", maxInput+1)) }, "too much"},
		"Close": {func(e *relayEnd) { e.tunnel.Close() }, net.ErrClosed.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTunnel(t)
			if err := context.Cause(e.tunnel.Ended()); err != nil {
				t.Errorf("Err is %v before the end", err)
			}
			tt.end(e)
			protocoltest.WantEnded(t, e.tunnel)
			wantErr(t, e.tunnel, tt.want)
			_ = e.tunnel.Close()
			wantErr(t, e.tunnel, tt.want) // still
		})
	}
}

// A relay client that does not read its ids is told apart from one that has gone.
func TestErrOfSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemoryTunnel(t)
		defer e.control.Close()
		ctx, cancel := context.WithCancel(t.Context())
		got := e.user(ctx)
		<-e.tunnel.Ended().Done()
		if err := context.Cause(e.tunnel.Ended()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Err is %v, want %v", err, os.ErrDeadlineExceeded)
		}
		cancel()
		if u := <-got; !errors.Is(u.err, protocol.ErrTunnelEnded) {
			t.Errorf("the user got %v, %v", u.conn, u.err)
		}
	})
}

// panickyConn panics when it is told to.
type panickyConn struct {
	conn.Conn
	in string
}

func (c panickyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.in == "Read" {
		panic("injected")
	}
	return n, err
}

// SetWriteDeadline is called before ids are written, and never before.
func (c panickyConn) SetWriteDeadline(at time.Time) error {
	if c.in == "Write" {
		panic("injected")
	}
	return c.Conn.SetWriteDeadline(at)
}

// A panic ends the tunnel in which it happens, and nothing else.
func TestPanicEndsTunnel(t *testing.T) {
	for in, trigger := range map[string]func(*relayEnd){
		"Read":  func(e *relayEnd) { conntest.Write(e.T, e.control, "x") },
		"Write": func(e *relayEnd) { e.user(e.Context()) },
	} {
		t.Run(in, func(t *testing.T) {
			conn, client := protocoltest.Pair(t)
			e := register(t, panickyConn{conn, in}, client)
			trigger(e)
			protocoltest.WantEnded(t, e.tunnel)
			var crashed *crash.Error
			if err := context.Cause(e.tunnel.Ended()); !errors.As(err, &crashed) || crashed.Value != "injected" {
				t.Errorf("Err is %v, want the panic", err)
			}
			_ = e.tunnel.Close()
		})
	}
}
