//go:build linux

package servers_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
)

const sshPackages = "openssh-server openssh-client"

// TestSSH tests a server and a client that both begin, and depend on the end of each
// direction.
func TestSSH(t *testing.T) {
	t.Parallel()
	s := ssh{program(t, "ssh", sshPackages), program(t, "sftp", sshPackages), t.TempDir()}
	port := s.startServer(t)
	for _, tunnel := range online(t, port) {
		t.Run(tunnel.protocol, func(t *testing.T) {
			for range 3 {
				tunnel.expectGreeting(t, "SSH-2.0-")
			}
			s.testCommand(t, tunnel.port)
			s.testHalfClose(t, tunnel.port)
			s.testFile(t, tunnel.port)
		})
	}
}

// ssh has the paths of the client's programs, and the directory with its keys.
type ssh struct{ ssh, sftp, dir string }

func (s ssh) startServer(t *testing.T) (port string) {
	t.Helper()
	sshd, keygen := program(t, "sshd", sshPackages), program(t, "ssh-keygen", sshPackages)
	for _, key := range []string{"host", "user"} {
		run(t, command(t, keygen, "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, key)), nil)
	}
	hostKey, err := os.ReadFile(filepath.Join(s.dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	port = conntest.FreePort(t)
	// A pool keeps 16 connections open that have not logged in. By default sshd would
	// refuse some users from the 10th on, even users of another protocol.
	config := fmt.Sprintf(`
ListenAddress %s
Port %s
HostKey %s
AuthorizedKeysFile %s
PermitRootLogin prohibit-password
PidFile none
StrictModes no
UsePAM no
MaxStartups 100
Subsystem sftp internal-sftp
`, loopback, port, filepath.Join(s.dir, "host"), filepath.Join(s.dir, "user.pub"))
	for name, text := range map[string]string{
		"config": config,
		"known":  "* " + string(hostKey), // no other key: the answer must come from this server
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		// Where sshd puts its unprivileged half; its service would create it.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	start(t, command(t, sshd, "-D", "-e", "-f", filepath.Join(s.dir, "config"))).await(t, "Server listening on "+loopback)
	return port
}

// client prepares ssh or sftp; most of their arguments are the same.
func (s ssh) client(t *testing.T, path, port string, args ...string) *exec.Cmd {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return command(t, path, append([]string{
		"-F", "none", "-i", filepath.Join(s.dir, "user"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + filepath.Join(s.dir, "known"),
		"-o", "LogLevel=ERROR", "-o", "Port=" + port, "-o", "User=" + me.Username,
	}, args...)...)
}

func (s ssh) testCommand(t *testing.T, port string) {
	cmd := s.client(t, s.ssh, port, loopback, "echo hello; exit 7")
	if out, err := cmd.Output(); cmd.ProcessState.ExitCode() != 7 || string(out) != "hello\n" {
		t.Errorf("the command printed %q, %v", out, err)
	}
}

// testHalfClose runs a command that ends only after the end of its input.
func (s ssh) testHalfClose(t *testing.T, port string) {
	data := random(8 << 20)
	got := run(t, s.client(t, s.ssh, port, loopback, "cat"), data)
	if sha256.Sum256(got) != sha256.Sum256(data) {
		t.Errorf("of 8 MiB %d bytes came back, or wrong ones", len(got))
	}
}

func (s ssh) testFile(t *testing.T, port string) {
	dir := t.TempDir()
	data := random(8 << 20)
	if err := os.WriteFile(filepath.Join(dir, "file"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	batch := strings.ReplaceAll("put DIR/file DIR/up\nget DIR/up DIR/down\n", "DIR", dir)
	run(t, s.client(t, s.sftp, port, "-b", "-", loopback), []byte(batch))
	for _, name := range []string{"up", "down"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("the file that went %s has %d bytes, or wrong ones, of %d: %v", name, len(got), len(data), err)
		}
	}
}
