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
	"fmt"
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
	log    *slog.Logger
	addr   string
	server *server.Server
	served chan struct{}
}

// New starts a relay. The caller closes it.
func New() (*Relay, error) { return start(slog.New(slog.DiscardHandler)) }

// Start starts a relay that writes what it does to the log of the test, and is
// closed when the test ends. If it cannot be started the test fails.
func Start(tb testing.TB) *Relay {
	tb.Helper()
	handler := slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})
	r, err := start(slog.New(handler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	return r
}

func start(log *slog.Logger) (*Relay, error) {
	r := &Relay{log: log}
	return r, r.listen(net.JoinHostPort(loopback, "0"))
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
// knows nothing of the tunnels of the first.
func (r *Relay) Restart() error {
	r.Close()
	return r.listen(r.addr)
}

func (r *Relay) listen(addr string) error {
	listener, err := transport.ListenRelayClients(addr)
	if err != nil {
		return fmt.Errorf("relaytest: %w", err)
	}
	r.addr = listener.Addr().String()
	s, err := server.New(server.Config{
		Protocols: map[string]protocol.Relay{
			wire.Multiplex: multiplex.Relay{},
			wire.Pool:      pool.NewRelay(),
			wire.Event:     event.NewRelay(),
		},
		Ports: server.PortRange{First: 20000, Last: 29999},
		Listen: func(port int) (server.Listener, error) {
			return transport.ListenUsers(net.JoinHostPort(loopback, strconv.Itoa(port)))
		},
		Logger: r.log,
	})
	if err != nil {
		_ = listener.Close()
		return fmt.Errorf("relaytest: %w", err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(listener) // its error says only that it was closed
	}()
	r.server, r.served = s, served
	return nil
}
