//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// site is where a contender runs: its public side is near the users, the other one is
// near the backend.
type site struct {
	near, far place
	backend   string // its address
	server    *process
	dir       string // for files of the contender, empty
	relay     string // the command, if the contender is a relay
	ports     *ports
	limit     int // descriptors that a process may have
}

// contender is a way to bring users to a backend that is somewhere else.
type contender struct {
	name string
	// protocol and relay are the relay's, and its command; empty for the others.
	protocol, relay string
	// encrypted is true if the two hops speak TLS with each other.
	encrypted bool
	// watched is true if the relay is watched while it is measured.
	watched bool
	// hops says what runs on the two sides.
	hops string
	// programs that it needs, and how to install them.
	programs []string
	install  string
	// fewConns says why it cannot have many connections, if so.
	fewConns string
	// noUploads says why it cannot bring a whole upload across, if so.
	noUploads string
	// version prints what is measured.
	version []string
	// start starts it, with far processes on the far side where more than one are
	// possible. The caller stops the setup, also after an error.
	start func(ctx context.Context, s *site, far int) (*setup, error)
}

// setup is a contender that runs.
type setup struct {
	addrs     []string // for users
	control   string   // for relay clients, of a relay
	near, far []*process
	watcher   *process // that watches a relay, if one does
}

func (s *setup) stop() {
	if s.watcher != nil {
		s.watcher.kill()
	}
	for _, p := range append(s.far, s.near...) {
		p.kill()
	}
}

// complaints returns what the programs have printed on stderr.
func (s *setup) complaints() string {
	var all []string
	for _, p := range append(s.near, s.far...) {
		if text := p.errors.String(); text != "" {
			all = append(all, fmt.Sprintf("%s: %s", p, text))
		}
	}
	return strings.Join(all, "\n")
}

func (s *setup) startNear(cmd *exec.Cmd) error {
	p, err := start(cmd)
	if err == nil {
		s.near = append(s.near, p)
	}
	return err
}

func (s *setup) startFar(cmd *exec.Cmd) error {
	p, err := start(cmd)
	if err == nil {
		s.far = append(s.far, p)
	}
	return err
}

// The names of relays begin so.
const (
	relayName  = "relay"
	beforeName = "before"
)

// sshName is the relay with an SSH client.
const sshName = relayName + "-ssh"

// allContenders returns those of the relay command, which are watched or not, those of the
// command before it if there is one, and other programs.
func allContenders(relay, before string, watched bool) []contender {
	all := []contender{{name: "direct", hops: "none: users reach the backend", start: startDirect}}
	for _, c := range []contender{
		relayContender("multiplex", false),
		relayContender("pool", false),
		relayContender("event", false),
		relayContender("multiplex", true),
		relayContender("pool", true),
		relayContender("event", true),
	} {
		if before != "" {
			all = append(all, c.of(beforeName, before))
		}
		c = c.of(relayName, relay)
		if c.watched = watched; watched {
			c.hops += "; watched"
		}
		all = append(all, c)
	}
	return append(all,
		contender{
			name: sshName, relay: relay, hops: "relay --sshListen; ssh -R", start: startRelaySSH,
			programs: []string{"ssh", "ssh-keygen"}, install: "apt-get install openssh-client",
			version:  []string{relay, "--version"},
			fewConns: "ssh checks all of its connections whenever one moves, and takes minutes to open so many",
		},
		contender{
			name: "stunnel", hops: "stunnel, TLS 1.3; stunnel", start: startStunnel, encrypted: true,
			programs: []string{"stunnel"}, install: "apt-get install stunnel4", version: []string{"stunnel", "-version"},
			fewConns: "it has a thread for each",
		},
		haproxyContender("haproxy", ""),
		haproxyContender("haproxy-splice", "option splice-auto"),
		ratholeContender(),
		boreContender(),
		frpContender(),
		contender{
			name: "ssh", hops: "sshd; ssh -R", start: startSSH,
			programs: []string{"sshd", "ssh", "ssh-keygen"}, install: "apt-get install openssh-server openssh-client",
			version:  []string{"ssh", "-V"},
			fewConns: "it checks all of its connections whenever one moves, and takes minutes to open so many",
		},
	)
}

// of returns the relay c with the command at a path, and a name that begins with name.
func (c contender) of(name, path string) contender {
	c.name, c.relay, c.version = name+"-"+c.name, path, []string{path, "--version"}
	return c
}

// plain reports whether it is as fast as it can be: without TLS.
func (c contender) plain() bool { return !c.encrypted && c.name != "ssh" && c.name != sshName }

// amongFirst reports whether it is a relay without TLS, or one of the few that those are
// compared with where a measurement takes long.
func (c contender) amongFirst() bool {
	return c.plainRelay() || slices.Contains([]string{"direct", "haproxy", "rathole"}, c.name)
}

// plainRelay reports whether it is a relay without TLS.
func (c contender) plainRelay() bool { return c.protocol != "" && !c.encrypted }

// missing returns what there is to do before the contender can run, or "".
func (c contender) missing() string {
	for _, name := range c.programs {
		if _, err := program(name); err != nil {
			return fmt.Sprintf("%s is neither in $%s nor in PATH: %s", name, binEnv, c.install)
		}
	}
	return ""
}

// binEnv is the environment variable with a directory of programs that goes before PATH.
const binEnv = "BENCH_BIN"

// program finds a program. Debian keeps servers where only root's PATH looks.
func program(name string) (string, error) {
	if dir := os.Getenv(binEnv); dir != "" && filepath.Base(name) == name {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return filepath.Abs(path)
		}
	}
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", name, err)
	}
	return path, nil
}

func startDirect(_ context.Context, s *site, _ int) (*setup, error) {
	return &setup{addrs: []string{s.backend}}, nil
}

func relayContender(protocol string, encrypted bool) contender {
	c := contender{
		name:     protocol,
		protocol: protocol,
		hops:     "relay; forwarder --protocol=" + protocol,
		start: func(ctx context.Context, s *site, far int) (*setup, error) {
			return startRelay(ctx, s, far, "--protocol="+protocol)
		},
	}
	if encrypted {
		c.encrypted = true
		c.name += "-tls"
		c.hops += " --tlsPin=..."
		c.start = func(ctx context.Context, s *site, far int) (*setup, error) {
			pin, err := ownPin(s.dir)
			if err != nil {
				return &setup{}, err
			}
			return startRelay(ctx, s, far, "--protocol="+protocol, "--tlsPin="+pin)
		}
	}
	return c
}

func startRelay(ctx context.Context, s *site, far int, args ...string) (*setup, error) {
	running := &setup{}
	port, err := s.ports.free()
	if err != nil {
		return running, err
	}
	running.control = net.JoinHostPort(s.near.host, port)
	// Errors only, as the others are told to log nothing.
	relay := s.near.command(s.relay, "--bind="+s.near.host, "--logLevel=error", "--stateDir="+s.dir,
		// All of the load comes from one address.
		"--maxTunnelsPerSource=0", "--maxUsersPerSource=0", "--usersPerSecond=0", port)
	if err := running.startNear(relay); err != nil {
		return running, err
	}
	host, backendPort, err := net.SplitHostPort(s.backend)
	if err != nil {
		return running, fmt.Errorf("the backend's address: %w", err)
	}
	for i := range far {
		// It waits for the relay by itself.
		forwarder := s.far.command(s.relay, append(args, "--logLevel=error", fmt.Sprintf("--name=%d", i), "--stateDir="+s.dir,
			"--localForwardHost="+host, "--localForwardPort="+backendPort, s.near.host, port)...)
		if err := running.startFar(forwarder); err != nil {
			return running, err
		}
		line, err := running.far[len(running.far)-1].line(ctx, startPatience)
		if err != nil {
			return running, fmt.Errorf("waiting for a tunnel: %w", err)
		}
		addr, _, _ := strings.Cut(line, " ")
		running.addrs = append(running.addrs, addr)
	}
	return running, nil
}
