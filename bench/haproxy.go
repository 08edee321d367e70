//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// haproxyConfig is of one of the two hops. It has one thread for each processor, the
// default, like Relay. It logs nothing, and nothing times out. It must have a number of
// connections for which its descriptors suffice: two each, and those of the pipes that it
// splices through, if it does.
const haproxyConfig = `
global
  maxconn %d
  maxpipes %d
defaults
  mode tcp
  %s
  timeout connect 30s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend in
  bind %s
  default_backend out
backend out
  server next %s
`

const (
	haproxyMost  = 30000
	haproxyPipes = 200
	// haproxySpare is for its pipes, listeners and threads.
	haproxySpare = 1000
)

// haproxyContender returns HAProxy with an option more than its default configuration.
func haproxyContender(name, option string) contender {
	return contender{
		name:     name,
		hops:     strings.TrimSuffix("haproxy; haproxy, "+option, ", "),
		programs: []string{"haproxy"}, install: "apt-get install haproxy", version: []string{"haproxy", "-v"},
		start: func(_ context.Context, s *site, _ int) (*setup, error) { return startHAProxy(s, option) },
	}
}

func startHAProxy(s *site, option string) (*setup, error) {
	running := &setup{}
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
	path, err := program("haproxy")
	if err != nil {
		return running, err
	}
	for _, hop := range []struct {
		name, bind, next string
		at               place
		start            func(*exec.Cmd) error
	}{
		{"far", middle, s.backend, s.far, running.startFar},
		{"near", public, middle, s.near, running.startNear},
	} {
		file := filepath.Join(s.dir, hop.name+".cfg")
		text := fmt.Sprintf(haproxyConfig, min(haproxyMost, (s.limit-haproxySpare)/2), haproxyPipes, option, hop.bind, hop.next)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return running, fmt.Errorf("configuring haproxy: %w", err)
		}
		if err := hop.start(hop.at.command(path, "-db", "-q", "-f", file)); err != nil {
			return running, err
		}
	}
	return running, nil
}
