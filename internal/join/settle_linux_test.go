package join_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// Keep-alive is set on a connection that lives on, whether it is joined or waits to be. The
// engine does that, and no call that waits.
func TestConnectionsAreSettled(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, e *join.Engine, c conn.Conn){
		"joined": func(t *testing.T, e *join.Engine, c conn.Conn) {
			near, _ := conntest.Pair(t)
			ended := make(chan join.Result, 1)
			h := e.NewSet(nil).Join(t.Context(), near, c, join.Options{}, func(r join.Result) { ended <- r })
			t.Cleanup(func() { h.Stop(t.Context().Err()); await(t, ended) })
		},
		"waits": func(t *testing.T, e *join.Engine, c conn.Conn) {
			stop := e.NewSet(nil).WhenReadable(c, func() { t.Error("something came") })
			if stop == nil {
				t.Fatal("it cannot be watched")
			}
			t.Cleanup(stop)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := join.NewEngineChecking(shortInterval, shortSilence)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Close)
			c := dialed(t)
			var socket int
			_ = c.(conn.Controller).Control(func(fd uintptr) { socket = int(fd) })
			use(t, e, c)
			for start := time.Now(); ; <-time.After(time.Millisecond) {
				alive, _ := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
				idle, _ := unix.GetsockoptInt(socket, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
				if alive == 1 && idle == 15 {
					return
				}
				if time.Since(start) > patience {
					t.Fatalf("SO_KEEPALIVE is %d, TCP_KEEPIDLE is %d", alive, idle)
				}
			}
		})
	}
}

// dialed returns a connection as a forwarder makes it.
func dialed(t *testing.T) conn.Conn {
	t.Helper()
	l, err := transport.ListenUsers("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := transport.DialRelay(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Reset() })
	return c
}
