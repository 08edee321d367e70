//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The programs here are reverse tunnels, as Relay is: the far side connects to the near
// one, which opens the public port. They have their default settings and log errors only.

// reverse is the addresses of a reverse tunnel.
type reverse struct {
	control, public          string // ports of the near side
	backendHost, backendPort string
}

func newReverse(s *site) (r reverse, err error) {
	if r.control, err = s.ports.free(); err != nil {
		return r, err
	}
	if r.public, err = s.ports.free(); err != nil {
		return r, err
	}
	r.backendHost, r.backendPort, err = net.SplitHostPort(s.backend)
	return r, err
}

// startReverse starts the near side, waits until it listens at the control port, and
// starts the far side.
func startReverse(ctx context.Context, running *setup, near, far *exec.Cmd, control string) error {
	if err := running.startNear(near); err != nil {
		return err
	}
	if err := awaitPort(ctx, running.near[0], control); err != nil {
		return err
	}
	return running.startFar(far)
}

// noHalfClose is why some cannot bring an upload across.
const noHalfClose = "it closes a connection when one side has sent its end, and the answer to an upload is lost"

func ratholeContender() contender {
	return contender{
		name: "rathole", hops: "rathole --server; rathole --client", start: startRathole,
		programs: []string{"rathole"}, version: []string{"rathole", "-V"},
		install: "cargo install rathole --version 0.5.0 --no-default-features --features server,client",
	}
}

func startRathole(ctx context.Context, s *site, _ int) (*setup, error) {
	running := &setup{}
	r, err := newReverse(s)
	if err != nil {
		return running, err
	}
	running.addrs = []string{net.JoinHostPort(s.near.host, r.public)}
	near, err := s.configured(s.near, "rathole", "--server", fmt.Sprintf(`
[server]
bind_addr = "%s:%s"
default_token = "bench"
[server.services.bench]
bind_addr = "%s:%s"
`, s.near.host, r.control, s.near.host, r.public))
	if err != nil {
		return running, err
	}
	far, err := s.configured(s.far, "rathole", "--client", fmt.Sprintf(`
[client]
remote_addr = "%s:%s"
default_token = "bench"
[client.services.bench]
local_addr = "%s"
`, s.near.host, r.control, s.backend))
	if err != nil {
		return running, err
	}
	return running, startReverse(ctx, running, near, far, r.control)
}

func boreContender() contender {
	return contender{
		name: "bore", hops: "bore server; bore local", start: startBore,
		programs: []string{"bore"}, version: []string{"bore", "--version"},
		install:   "cargo install bore-cli --version 0.5.3",
		noUploads: noHalfClose,
	}
}

// boreControl is the port of a bore server. It cannot be chosen.
const boreControl = "7835"

func startBore(ctx context.Context, s *site, _ int) (*setup, error) {
	running := &setup{}
	r, err := newReverse(s)
	if err != nil {
		return running, err
	}
	host := s.near.host
	if host == loopback {
		// Another run of this program has its server at an address of its own.
		host = fmt.Sprintf("127.1.%d.%d", os.Getpid()>>8&0xff, os.Getpid()&0xff)
	}
	running.addrs = []string{net.JoinHostPort(host, r.public)}
	path, err := program("bore")
	if err != nil {
		return running, err
	}
	near := s.near.command(path, "server", "--bind-addr", host, "--min-port", r.public, "--max-port", r.public)
	far := s.far.command(path, "local", r.backendPort, "--local-host", r.backendHost, "--to", host, "--port", r.public)
	return running, startReverse(ctx, running, logErrors(near), logErrors(far), boreControl)
}

func frpContender() contender {
	return contender{
		// It encrypts what goes between the two unless it is told not to.
		name: "frp", hops: "frps; frpc, no TLS", start: startFRP,
		programs: []string{"frps", "frpc"}, version: []string{"frps", "--version"},
		install:   "unpack a release of github.com/fatedier/frp there",
		noUploads: noHalfClose,
	}
}

func startFRP(ctx context.Context, s *site, _ int) (*setup, error) {
	running := &setup{}
	r, err := newReverse(s)
	if err != nil {
		return running, err
	}
	running.addrs = []string{net.JoinHostPort(s.near.host, r.public)}
	near, err := s.configured(s.near, "frps", "-c", fmt.Sprintf(`
bindAddr = "%s"
bindPort = %s
proxyBindAddr = "%s"
log.level = "error"
`, s.near.host, r.control, s.near.host))
	if err != nil {
		return running, err
	}
	far, err := s.configured(s.far, "frpc", "-c", fmt.Sprintf(`
serverAddr = "%s"
serverPort = %s
log.level = "error"
transport.tls.enable = false
[[proxies]]
name = "bench"
type = "tcp"
localIP = "%s"
localPort = %s
remotePort = %s
`, s.near.host, r.control, r.backendHost, r.backendPort, r.public))
	if err != nil {
		return running, err
	}
	return running, startReverse(ctx, running, near, far, r.control)
}

// configured prepares a program with a configuration file of its own behind flag.
func (s *site) configured(at place, name, flag, config string) (*exec.Cmd, error) {
	path, err := program(name)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, name+strings.TrimLeft(flag, "-")+".toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("configuring %s: %w", name, err)
	}
	return logErrors(at.command(path, flag, file)), nil
}

// logErrors has a program in Rust log errors only.
func logErrors(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Env, "RUST_LOG=error")
	return cmd
}

// awaitPort waits until something listens at a port, in the namespace of the process.
// Nothing connects for it: a program might take that for a client.
func awaitPort(ctx context.Context, p *process, port string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		listens, err := p.listens(port)
		if listens || err != nil {
			return err
		}
		select {
		case <-time.After(retry):
		case <-p.exited:
			return fmt.Errorf("%s ended: %s", p, p.errors.String())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen at port %s: %s", p, port, p.errors.String())
		}
	}
}

func (p *process) listens(port string) (bool, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return false, fmt.Errorf("port %q: %w", port, err)
	}
	for _, family := range []string{"tcp", "tcp6"} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", p.cmd.Process.Pid, family))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6, or the process has ended
		}
		if err != nil {
			return false, fmt.Errorf("sockets of %s: %w", p, err)
		}
		found := listed(bufio.NewScanner(file), uint16(number))
		_ = file.Close()
		if found {
			return true, nil
		}
	}
	return false, nil
}

// listed reports whether lines of /proc/net/tcp have a listener at the port.
func listed(lines *bufio.Scanner, port uint16) bool {
	const listening = "0A"
	local := fmt.Sprintf(":%04X", port)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) > 3 && strings.HasSuffix(f[1], local) && f[3] == listening {
			return true
		}
	}
	return false
}
