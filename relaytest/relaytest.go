// Package relaytest starts a relay inside a test, for programs that use
// package relay.
//
//	r := relaytest.Start(t)
//	l, err := relay.Listen(t.Context(), r.Addr(), nil)
//
// The relay and its public ports are on loopback. Nothing has to be installed,
// and any number of them may run side by side.
package relaytest

import (
	"log/slog"
	"net"
	"strconv"
	"testing"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

const loopback = "127.0.0.1"

// Relay is a running relay. Its methods may not be called concurrently.
type Relay struct {
	tb     testing.TB
	addr   string
	server *server.Server
	served chan struct{}
}

// Start starts a relay that is closed when the test ends. It fails the test if
// it cannot.
func Start(tb testing.TB) *Relay {
	tb.Helper()
	r := &Relay{tb: tb}
	r.start(net.JoinHostPort(loopback, "0"))
	tb.Cleanup(r.Close)
	return r
}

// Addr is the address for relay clients, "host:port".
func (r *Relay) Addr() string { return r.addr }

// Close closes the relay as though it were killed: all connections are reset.
// It may be called more than once.
func (r *Relay) Close() {
	r.server.Close()
	<-r.served
}

// Restart closes the relay and starts another one on the same address, which
// knows nothing of the first one's tunnels.
func (r *Relay) Restart() {
	r.tb.Helper()
	r.Close()
	r.start(r.addr)
}

func (r *Relay) start(addr string) {
	r.tb.Helper()
	listener, err := transport.ListenRelayClients(addr)
	if err != nil {
		r.tb.Fatalf("relaytest: %v", err)
	}
	r.addr = listener.Addr().String()
	r.server = server.New(server.Config{
		Protocols: map[string]protocol.Relay{
			wire.Multiplex: multiplex.Relay{},
			wire.Pool:      pool.NewRelay(),
			wire.Event:     event.NewRelay(),
		},
		Ports: server.PortRange{First: 20000, Last: 29999},
		Listen: func(port int) (server.Listener, error) {
			return transport.ListenUsers(net.JoinHostPort(loopback, strconv.Itoa(port)))
		},
		Logger: slog.New(slog.NewTextHandler(r.tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	served := make(chan struct{})
	r.served = served
	go func(s *server.Server) {
		defer close(served)
		_ = s.Serve(listener) // its error says only that it was closed
	}(r.server)
}
