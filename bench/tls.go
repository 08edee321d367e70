//go:build linux

package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/seed96252745/relay/internal/certificate"
)

// ownPin returns the pin of the certificate that a relay makes itself in dir.
func ownPin(dir string) (string, error) {
	own, err := certificate.SelfSigned(dir)
	if err != nil {
		return "", err
	}
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		return "", fmt.Errorf("the relay's certificate: %w", err)
	}
	return certificate.Pin(leaf), nil
}

// stunnelConfig is of one of the two hops. Each encrypts bytes and copies them once, and
// does nothing else.
const stunnelConfig = `
foreground = yes
debug = 2
pid =
sslVersionMin = TLSv1.3
[hop]
accept = %s
connect = %s
%s
`

// startStunnel starts the contender that shows what encryption alone costs on this
// machine.
func startStunnel(_ context.Context, s *site, _ int) (*setup, error) {
	running := &setup{}
	own, err := certificate.New()
	if err != nil {
		return running, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		return running, fmt.Errorf("stunnel's key: %w", err)
	}
	pair := filepath.Join(s.dir, "stunnel.pem")
	content := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(pair, content, 0o600); err != nil {
		return running, err
	}
	first, err := s.ports.free()
	if err != nil {
		return running, err
	}
	second, err := s.ports.free()
	if err != nil {
		return running, err
	}
	public, middle := net.JoinHostPort(s.near.host, first), net.JoinHostPort(s.far.host, second)
	running.addrs = []string{public}
	path, err := program("stunnel")
	if err != nil {
		return running, err
	}
	for _, hop := range []struct {
		name, accept, connect, more string
		at                          place
		start                       func(*exec.Cmd) error
	}{
		{"far", middle, s.backend, "cert = " + pair, s.far, running.startFar},
		{"near", public, middle, "client = yes", s.near, running.startNear},
	} {
		file := filepath.Join(s.dir, "stunnel-"+hop.name+".conf")
		if err := os.WriteFile(file, fmt.Appendf(nil, stunnelConfig, hop.accept, hop.connect, hop.more), 0o600); err != nil {
			return running, fmt.Errorf("configuring stunnel: %w", err)
		}
		if err := hop.start(hop.at.command(path, file)); err != nil {
			return running, err
		}
	}
	return running, nil
}
