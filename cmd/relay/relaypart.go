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
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/upgrade"
)

// relayPart is the relay of a process. Make it with openRelay, and close it.
type relayPart struct {
	log      *slog.Logger
	port     int // control port
	listener *transport.Listener
	ssh      *transport.Listener // or nil
	leases   *lease.Deferred
	server   *server.Server
	seen     relayAdmin
	seenAt   *adminListeners
	admin    *node.Admin
	now      atomic.Pointer[relayNow]
	from     *node.Inheritance               // what the process before this one has left, or nil
	next     atomic.Pointer[node.Succession] // the process that has taken over, or nil
}

// relayNow is what a relay runs under.
type relayNow struct {
	flags      *flags
	encryption encryption
}

// openRelay opens what a relay needs, and takes no relay clients yet. Link is to the process
// from which this one takes over, or nil.
func openRelay(s *relaySetup, link *upgrade.Link, log *slog.Logger) (*relayPart, error) {
	p := &relayPart{log: log, port: s.port}
	if err := p.open(s, link); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// open opens one after the other. Close is for as far as it comes. A process that takes over
// first reads all that can be wrong: the other one waits for it, and relay clients do, from
// the moment in which it asks for what that one has.
func (p *relayPart) open(s *relaySetup, link *upgrade.Link) (err error) {
	f, c := s.flags, &s.flags.config
	now := &relayNow{flags: f}
	p.now.Store(now)
	if link == nil {
		if p.listener, err = transport.ListenRelayClients(p.place()); err != nil {
			return explainListen(err, c.Bind, s.port)
		}
		if err = p.listenSSH(); err != nil {
			return err
		}
	}
	if c.SSHAuthorities, err = f.sshAuthorities(); err != nil {
		return err
	}
	if err = p.openSSH(c); err != nil {
		return err
	}
	if c.Tokens, err = openTokens(f, p.log); err != nil {
		return err
	}
	if link == nil {
		if err = p.openLeases(f); err != nil {
			return err
		}
	}
	if now.encryption, err = f.tls.server(encryption{}, f, s.port, p.log); err != nil {
		return err
	}
	if link != nil {
		if err = p.inherit(link); err != nil {
			return err
		}
	}
	p.seen = newRelayAdmin(f, p.log)
	c.Leases, c.TLS, c.Logger, c.Sinks, c.From = p.leases, now.encryption.config, p.log, p.seen.sinks(), p.from
	p.server, err = node.Relay(*c)
	return err
}

// place returns where the relay has its ports.
func (p *relayPart) place() string {
	return net.JoinHostPort(p.now.Load().flags.config.Bind, strconv.Itoa(p.port))
}

// openLeases opens the leases, so that they can be closed for another process.
func (p *relayPart) openLeases(f *flags) error {
	open := func() (lease.Store, error) { return openLeases(f, p.port, p.log) }
	store, err := open()
	if err == nil {
		p.leases = lease.Defer(store, open)
	}
	return err
}

// close ends everything at once, as far as it was opened.
func (p *relayPart) close() {
	if p.server != nil {
		p.server.Close()
	}
	if next := p.next.Load(); next != nil {
		next.Close()
	}
	p.from.Close()
	if p.listener != nil {
		_ = p.listener.Close() // Serve closes it too
	}
	if p.ssh != nil {
		_ = p.ssh.Close()
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

// serve serves until ctx is done, or another process has taken over and nothing is left to do,
// and then drains.
func (p *relayPart) serve(ctx context.Context) error {
	greet(p.log, p.now.Load().flags, p.port, p.now.Load().encryption)
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(p.listener) }()
	defer p.serveSSH()()
	select {
	case err := <-served:
		if !errors.Is(err, server.ErrSucceeded) {
			p.server.Close()
			return err
		}
		served <- err // for below
		if !p.linger(ctx) {
			p.server.Close()
			return nil
		}
	case <-ctx.Done():
	}
	drain := p.now.Load().flags.drain
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	defer onSecondSignal(ctx, p.log, cancel)()
	if err := p.server.Shutdown(patience); err != nil {
		p.log.Warn("connections that had not finished were reset", "drain", drain.String())
	}
	if err := <-served; !errors.Is(err, server.ErrServerClosed) && !errors.Is(err, server.ErrSucceeded) {
		return err
	}
	return nil
}

// about returns what the status says of the configuration.
func (p *relayPart) about() api.Status {
	now := p.now.Load()
	successor := 0
	if next := p.next.Load(); next != nil {
		successor = next.PID()
	}
	return api.Status{
		Version: version(), Started: p.seen.started, Control: p.place(), Successor: successor,
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
	if f.config.SSHAuthorities, err = f.sshAuthorities(); err != nil {
		return nil, err
	}
	now := &relayNow{flags: f}
	if now.encryption, err = f.tls.server(before.encryption, f, p.port, p.log); err != nil {
		return nil, err
	}
	f.config.TLS = now.encryption.config
	if err := node.MayReconfigure(before.flags.config, f.config); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmp.Or(authorityFlag(before.flags, f), "--tokens"), err, toChange("tokens"))
	}
	return func() {
		useTokens()
		f.config.SSH = before.flags.config.SSH
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
	if (before.sshClientCA == "") != (f.sshClientCA == "") {
		return "--sshClientCa"
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
		return nil, fmt.Errorf("--tokens: %w: %s", node.ErrOpenness, toChange("tokens"))
	}
	if use, err = tokens.Prepare(f.tokens); err != nil {
		return nil, fmt.Errorf("--tokens: %w", explainFile(err))
	}
	f.config.Tokens = tokens
	return use, nil
}
