//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"
)

// sshdConfig accepts one key. Everything else is the default.
const sshdConfig = `
ListenAddress %s
Port %s
HostKey %s
AuthorizedKeysFile %s
PermitRootLogin prohibit-password
PidFile none
StrictModes no
UsePAM no
`

func startSSH(ctx context.Context, s *site, _ int) (*setup, error) {
	running := &setup{}
	port, err := s.ports.free()
	if err != nil {
		return running, err
	}
	public, err := s.ports.free()
	if err != nil {
		return running, err
	}
	running.addrs = []string{net.JoinHostPort(s.near.host, public)}
	if err := configureSSH(s, port); err != nil {
		return running, err
	}
	sshd, err := program("sshd")
	if err != nil {
		return running, err
	}
	if err := running.startNear(s.near.command(sshd, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))); err != nil {
		return running, err
	}
	if err := awaitText(ctx, running.near[0], "Server listening on"); err != nil {
		return running, err
	}
	me, err := user.Current()
	if err != nil {
		return running, fmt.Errorf("who to log in as: %w", err)
	}
	ssh := clientOf(s, port, "StrictHostKeyChecking=yes", "-N", "-l", me.Username, "-R", s.near.host+":"+public+":"+s.backend)
	return running, running.startFar(ssh)
}

// clientOf returns an SSH client of the port.
func clientOf(s *site, port, check string, args ...string) *exec.Cmd {
	return s.far.command("ssh", append(append([]string{
		"-F", "none", "-i", filepath.Join(s.dir, "user"),
		"-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes",
		"-o", check, "-o", "UserKnownHostsFile=" + filepath.Join(s.dir, "known"), "-o", "LogLevel=ERROR", "-p", port,
	}, args...), s.near.host)...)
}

// startRelaySSH starts a relay, and the SSH client that startSSH has for sshd. It has a session,
// where the address stands.
func startRelaySSH(ctx context.Context, s *site, _ int) (*setup, error) {
	running := &setup{}
	control, err := s.ports.free()
	if err != nil {
		return running, err
	}
	port, err := s.ports.free()
	if err != nil {
		return running, err
	}
	if err := makeKey(s, "user"); err != nil {
		return running, err
	}
	relay := s.near.command(s.relay, "--bind="+s.near.host, "--logLevel=info", "--logFormat=text", "--stateDir="+s.dir, "--sshListen="+net.JoinHostPort(s.near.host, port),
		"--maxUsersPerSource=0", "--usersPerSecond=0", control)
	if err := running.startNear(relay); err != nil {
		return running, err
	}
	if err := awaitText(ctx, running.near[0], "ssh -p"); err != nil {
		return running, err
	}
	// -N would leave out the session, and with it the address.
	ssh := clientOf(s, port, "StrictHostKeyChecking=accept-new", "-T", "-R", "0:"+s.backend)
	if err := running.startFar(ssh); err != nil {
		return running, err
	}
	line, err := running.far[0].line(ctx, startPatience)
	if err != nil {
		return running, fmt.Errorf("waiting for a tunnel: %w", err)
	}
	addr, _, _ := strings.Cut(line, " ")
	running.addrs = []string{addr}
	return running, nil
}

// makeKey makes a key without a passphrase.
func makeKey(s *site, name string) error {
	out, err := place{}.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, name)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("making a key: %w: %s", err, out)
	}
	return nil
}

// configureSSH makes the keys and files of a server and of its one client.
func configureSSH(s *site, port string) error {
	for _, key := range []string{"host", "user"} {
		if err := makeKey(s, key); err != nil {
			return err
		}
	}
	hostKey, err := os.ReadFile(filepath.Join(s.dir, "host.pub"))
	if err != nil {
		return fmt.Errorf("reading a key: %w", err)
	}
	config := fmt.Sprintf(sshdConfig, s.near.host, port, filepath.Join(s.dir, "host"), filepath.Join(s.dir, "user.pub"))
	if s.near.host != loopback {
		config += "GatewayPorts clientspecified\n" // users do not come by loopback
	}
	for name, text := range map[string]string{
		"sshd_config": config,
		"known":       "* " + string(hostKey), // and no other
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("configuring ssh: %w", err)
		}
	}
	if os.Getuid() == 0 {
		// sshd puts its unprivileged half there. Its service would make the folder.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return fmt.Errorf("preparing for sshd: %w", err)
		}
	}
	return nil
}

// awaitText waits until the program has printed the text on stderr.
func awaitText(ctx context.Context, p *process, text string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		said := p.errors.String()
		if strings.Contains(said, text) {
			return nil
		}
		select {
		case <-time.After(retry):
		case <-p.exited:
			return fmt.Errorf("%s ended: %s", p, said)
		case <-ctx.Done():
			return fmt.Errorf("%s did not say %q, but: %s", p, text, said)
		}
	}
}
