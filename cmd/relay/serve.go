package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// runRelay is relay <localport>.
func runRelay(ctx context.Context, controlPort int, f *flags, log *slog.Logger) error {
	ports, err := port.ParseRange(f.ports)
	if err != nil {
		return usagef("for example:   --ports=20000-29999", "--ports: %v", err)
	}
	if err := checkBind(f.bind); err != nil {
		return err
	}
	proxies, err := parseProxies("trustedProxies", f.trustedProxies)
	if err != nil {
		return err
	}
	controlProxies, err := parseProxies("controlProxies", f.controlProxies)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil // told to end before it began
	}
	listener, err := transport.ListenRelayClients(net.JoinHostPort(f.bind, strconv.Itoa(controlPort)))
	if err != nil {
		return explainListen(err, f.bind, controlPort)
	}
	defer func() { _ = listener.Close() }() // which Serve does too
	tokens, err := openTokens(f, log)
	if err != nil {
		return err
	}
	if tokens != nil {
		defer tokens.Close()
		defer reloadOnHangup(tokens)()
	}
	leases, err := openLeases(f, controlPort, log)
	if err != nil {
		return err
	}
	defer func() { _ = leases.Close() }() // all is written that was saved
	encryption, err := f.tls.server(f, controlPort, log)
	if err != nil {
		return err
	}
	defer encryption.close()
	s, err := node.Relay(node.Config{
		Bind: f.bind, Ports: ports, Limits: f.limits.limits(), Logger: log,
		TrustedProxies: proxies, ControlProxies: controlProxies, TLS: encryption.config, RequireTLS: f.tls.required,
		Tokens: tokens, Leases: leases, Lease: f.lease, TokenLease: f.tokenLease,
	})
	if err != nil {
		return err
	}
	defer logState(log, func() slog.LogValuer { return s.State() })()
	greet(log, f, controlPort, tokens != nil, encryption)
	return serve(ctx, s, listener, f, log)
}

// parseProxies reads the networks of load balancers of a flag.
func parseProxies(flag, value string) ([]netip.Prefix, error) {
	if value == "" {
		return nil, nil
	}
	networks, err := policy.ParseNetworks(value)
	if err != nil {
		return nil, usagef("for example:   --"+flag+"=10.0.0.0/8", "--%s: %v", flag, err)
	}
	return networks, nil
}

// openTokens opens the tokens file, and returns nil if there is none and everybody may use
// the relay. A relay that was told of a file never starts without it.
func openTokens(f *flags, log *slog.Logger) (*auth.File, error) {
	path, from := f.tokens, "--tokens"
	if path == "" { // a flag that is given is never empty
		env, set, err := lookupEnv("RELAY_TOKENS", "the path of a tokens file")
		if !set || err != nil {
			return nil, err
		}
		path, from = env, "RELAY_TOKENS"
	}
	tokens, err := auth.Open(path, log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, explainFile(err))
	}
	return tokens, nil
}

// serve serves until ctx is done, and then drains.
func serve(ctx context.Context, s *server.Server, listener conn.Listener, f *flags, log *slog.Logger) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	select {
	case err := <-served:
		s.Close()
		return err
	case <-ctx.Done():
	}
	logShutdown(log, f.drain)
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.drain)
	defer cancel()
	defer onSecondSignal(ctx, log, cancel)()
	if err := s.Shutdown(patience); err != nil {
		log.Warn("connections that had not finished were reset", "drain", f.drain.String())
	}
	if err := <-served; !errors.Is(err, server.ErrServerClosed) {
		return err
	}
	return nil
}

// greet logs what the operator should know first, and what to do next.
func greet(log *slog.Logger, f *flags, port int, tokens bool, e encryption) {
	shows := "" // who it is
	switch {
	case tokens:
		shows = "--tokenFile=<file with its token> "
	case f.tls.clientCA != "":
		shows = "--tlsCert=<its certificate> --tlsKey=<its key> "
	default:
		log.Info("this relay is open: everybody who reaches its port may open tunnels; to change that, " +
			"say who may with --tokens (see: relay token --help), or give it a private address with --bind")
	}
	host := f.bind
	if host == "" {
		host = "<this machine>"
	}
	paste := func(encrypted string) string {
		return fmt.Sprintf("relay %s%s--localForwardPort=<its port> %s %d", encrypted, shows, host, port)
	}
	first := "to put a server online, run beside it:  "
	if !f.tls.required && (tokens || f.tls.clientCA == "") {
		log.Info(first + paste(""))
		first = "the same, encrypted:  "
	}
	if hint := e.hint(); hint != "" {
		log.Info(first + paste(hint))
	}
	log.Info("relay is ready", "port", port, "publicPorts", f.ports)
}
