package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// relayPart is the relay of a process. Make it with openRelay, and close it.
type relayPart struct {
	log      *slog.Logger
	port     int // control port
	listener conn.Listener
	leases   lease.Store
	server   *server.Server
	seen     relayAdmin
	admin    *node.Admin
	now      atomic.Pointer[relayNow]
}

// relayNow is what a relay runs under.
type relayNow struct {
	flags      *flags
	encryption encryption
}

// openRelay opens what a relay needs, and takes no relay clients yet.
func openRelay(s *relaySetup, log *slog.Logger) (*relayPart, error) {
	p := &relayPart{log: log, port: s.port}
	if err := p.open(s); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// open opens one after the other. Close is for as far as it comes.
func (p *relayPart) open(s *relaySetup) error {
	f, c := s.flags, &s.flags.config
	now := &relayNow{flags: f}
	p.now.Store(now)
	listener, err := transport.ListenRelayClients(net.JoinHostPort(c.Bind, strconv.Itoa(s.port)))
	if err != nil {
		return explainListen(err, c.Bind, s.port)
	}
	p.listener = listener
	if c.Tokens, err = openTokens(f, p.log); err != nil {
		return err
	}
	if p.leases, err = openLeases(f, s.port, p.log); err != nil {
		return err
	}
	if now.encryption, err = f.tls.server(encryption{}, f, s.port, p.log); err != nil {
		return err
	}
	p.seen = newRelayAdmin(f, p.log)
	c.Leases, c.TLS, c.Logger, c.Sinks = p.leases, now.encryption.config, p.log, p.seen.sinks()
	p.server, err = node.Relay(*c)
	return err
}

// close ends everything at once, as far as it was opened.
func (p *relayPart) close() {
	if p.server != nil {
		p.server.Close()
	}
	if p.listener != nil {
		_ = p.listener.Close() // Serve closes it too
	}
	now := p.now.Load()
	now.encryption.close()
	if p.leases != nil {
		_ = p.leases.Close() // everything saved is written by then
	}
	if tokens := now.flags.config.Tokens; tokens != nil {
		tokens.Close()
	}
}

// serve serves until ctx is done, and then drains.
func (p *relayPart) serve(ctx context.Context) error {
	greet(p.log, p.now.Load().flags, p.port, p.now.Load().encryption)
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(p.listener) }()
	select {
	case err := <-served:
		p.server.Close()
		return err
	case <-ctx.Done():
	}
	drain := p.now.Load().flags.drain
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	defer onSecondSignal(ctx, p.log, cancel)()
	if err := p.server.Shutdown(patience); err != nil {
		p.log.Warn("connections that had not finished were reset", "drain", drain.String())
	}
	if err := <-served; !errors.Is(err, server.ErrServerClosed) {
		return err
	}
	return nil
}

// about returns what the status says of the configuration.
func (p *relayPart) about() api.Status {
	now := p.now.Load()
	return api.Status{
		Version: version(), Started: p.seen.started, Control: net.JoinHostPort(now.flags.config.Bind, strconv.Itoa(p.port)),
		Ports: now.flags.ports, Open: now.flags.isOpen(), Connect: connectLines(now.flags, p.port, now.encryption),
	}
}

// prepare reads what other settings name, and returns what puts them in force. Until then
// nothing is changed.
func (p *relayPart) prepare(next *relaySetup) (use func(), err error) {
	before, f := p.now.Load(), next.flags
	useTokens, err := p.prepareTokens(f)
	if err != nil {
		return nil, err
	}
	now := &relayNow{flags: f}
	if now.encryption, err = f.tls.server(before.encryption, f, p.port, p.log); err != nil {
		return nil, err
	}
	f.config.TLS = now.encryption.config
	if err := node.MayReconfigure(before.flags.config, f.config); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmp.Or(authorityFlag(before.flags, f), "--tokens"), err, toRestart)
	}
	return func() {
		useTokens()
		node.Reconfigure(p.server, before.flags.config, f.config)
		p.now.Store(now)
		p.admin.SetAbout(p.about())
		p.seen.metrics.SetTunnels(f.adminServer.metricsTunnels)
	}, nil
}

// authorityFlag returns the flag of authorities for certificates, if they come or go.
func authorityFlag(before, f *flags) string {
	if (before.tls.clientCA == "") != (f.tls.clientCA == "") {
		return "--tlsClientCa"
	}
	return ""
}

// prepareTokens reads the tokens file again, which may be another one. Whether there is one
// stays for node.MayReconfigure to judge.
func (p *relayPart) prepareTokens(f *flags) (use func(), err error) {
	tokens := p.now.Load().flags.config.Tokens
	if f.tokens == "" {
		return func() {}, nil
	}
	if tokens == nil {
		return nil, fmt.Errorf("--tokens: %w: %s", node.ErrOpenness, toRestart)
	}
	if use, err = tokens.Prepare(f.tokens); err != nil {
		return nil, fmt.Errorf("--tokens: %w", explainFile(err))
	}
	f.config.Tokens = tokens
	return use, nil
}
