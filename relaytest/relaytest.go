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
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/transport"
)

const loopback = "127.0.0.1"

// Relay is a running relay. Its methods may not be called concurrently.
type Relay struct {
	log    *slog.Logger
	own    tls.Certificate
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
	own, err := certificate.New()
	if err != nil {
		return nil, fmt.Errorf("relaytest: %w", err)
	}
	r := &Relay{log: log, own: own}
	return r, r.listen(net.JoinHostPort(loopback, "0"))
}

// Addr returns the address for relay clients, "host:port".
func (r *Relay) Addr() string { return r.addr }

// TLS returns settings for relay.Options.TLS, with which clients of this relay encrypt. The
// relay takes others, too.
func (r *Relay) TLS() (*tls.Config, error) { return relay.PinnedTLS(certificate.Pin(r.own.Leaf)) }

// Close closes the relay as though it were killed: all connections are reset.
// It may be called more than once.
func (r *Relay) Close() {
	r.server.Close()
	<-r.served
}

// Restart closes the relay and starts another one on the same address, which knows nothing
// of the tunnels of the first. If another program has that address meanwhile, it waits for a
// moment.
func (r *Relay) Restart() error {
	r.Close()
	for since := time.Now(); ; <-time.After(10 * time.Millisecond) {
		err := r.listen(r.addr)
		if !sockerr.Is(err, syscall.EADDRINUSE) || time.Since(since) > restartWait {
			return err
		}
	}
}

// restartWait is how long another program may have the address.
const restartWait = 10 * time.Second

func (r *Relay) listen(addr string) error {
	listener, err := transport.ListenRelayClients(addr)
	if err != nil {
		return fmt.Errorf("relaytest: %w", err)
	}
	r.addr = listener.Addr().String()
	s, err := node.Relay(node.Config{
		Bind:  loopback,
		Ports: port.Range{First: 20000, Last: 29999},
		// All of a test comes from one address.
		Limits: admission.Limits{TunnelsPerSource: -1},
		TLS:    certificate.ServerConfig{GetCertificate: certificate.Fixed(r.own)}.TLS(),
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
