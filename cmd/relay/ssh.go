package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/sshd"
	"github.com/seed96252745/relay/internal/transport"
)

const rightSSH = "for example:   --sshListen=:2222"

// checkSSH returns what is wrong with --sshListen.
func (f *flags) checkSSH() error {
	switch {
	case f.sshListen == "" && f.sshClientCA != "":
		return usagef(rightSSH, "--sshClientCa needs --sshListen: without it no SSH client can come")
	case f.sshListen == "":
		return nil
	}
	_, port, err := net.SplitHostPort(f.sshPlace())
	if err != nil {
		return usagef(rightSSH, "--sshListen: %+q is no address with a port", f.sshListen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && port != "0" {
		return usagef(rightSSH, "--sshListen: %+q is no port", port)
	}
	return nil
}

// sshPlace returns where SSH clients come: a port alone, or without a host, is one at the address
// of the relay's other ports.
func (f *flags) sshPlace() string {
	host, port, ok := strings.Cut(f.sshListen, ":")
	switch {
	case !ok:
		return net.JoinHostPort(f.config.Bind, host)
	case host == "" && !strings.Contains(port, ":"):
		return net.JoinHostPort(f.config.Bind, port)
	}
	return f.sshListen
}

// sshAuthorities reads the authorities for certificates of SSH, and returns nil if there are to
// be none.
func (f *flags) sshAuthorities() (auth.SSHAuthorities, error) {
	if f.sshClientCA == "" {
		return nil, nil
	}
	file, err := os.Open(f.sshClientCA)
	if err != nil {
		return nil, fmt.Errorf("--sshClientCa: %w", explainFile(err))
	}
	defer file.Close() //nolint:errcheck // it was only read
	all, err := auth.ReadSSHAuthorities(f.sshClientCA, file)
	if err != nil {
		return nil, fmt.Errorf("--sshClientCa: %w", err)
	}
	return all, nil
}

// listenSSH opens the port for SSH clients, if there is to be one.
func (p *relayPart) listenSSH() (err error) {
	f := p.now.Load().flags
	if f.sshListen == "" {
		return nil
	}
	if p.ssh, err = transport.ListenRelayClients(f.sshPlace()); err != nil {
		host, port, _ := net.SplitHostPort(f.sshPlace())
		number, _ := strconv.Atoi(port)
		return fmt.Errorf("--sshListen: %w", explainListen(err, host, number))
	}
	return nil
}

// openSSH makes the front for SSH clients, if there is to be one.
func (p *relayPart) openSSH(c *node.Config) error {
	f := p.now.Load().flags
	if f.sshListen == "" {
		return nil
	}
	dir, err := f.state()
	if err != nil {
		return fmt.Errorf("--sshListen needs a folder for its host keys: give one with --stateDir: %w", err)
	}
	keys, err := sshd.HostKeys(dir)
	if err != nil {
		return fmt.Errorf("--sshListen: %w", explainFile(err))
	}
	c.SSH = sshd.New(sshd.Config{HostKeys: keys, Host: func() string { return p.now.Load().flags.knownAt() }, Logger: p.log})
	return nil
}

// serveSSH serves SSH clients until the server is closed. The caller calls wait after that.
func (p *relayPart) serveSSH() (wait func()) {
	if p.ssh == nil {
		return func() {}
	}
	_, port, _ := net.SplitHostPort(p.ssh.Addr().String())
	p.log.Info("to put a web server online with nothing installed:  ssh -p " + port + " -R 0:localhost:<its port> " + p.now.Load().flags.reachedAt())
	served := make(chan error, 1)
	go func() { served <- p.server.ServeFront(p.ssh) }()
	return func() {
		if err := <-served; !errors.Is(err, server.ErrServerClosed) && !errors.Is(err, server.ErrSucceeded) {
			p.log.Error("the port for SSH clients cannot be served any more", "error", err)
		}
	}
}
