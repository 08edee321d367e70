//go:build lab && linux

package lab_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/auth"
)

// Who a container's process is, and its fsGroup. Nobody on a machine has these.
const (
	containerUser  = 65111
	containerGroup = 65112
)

// container is a place in which a process of its user finds secrets, as containers do.
type container struct {
	t    *testing.T
	dir  string
	exec string // the command
}

func newContainer(t *testing.T) *container {
	t.Helper()
	c := &container{t: t, dir: open(t)}
	c.exec = filepath.Join(c.dir, "relay")
	program, err := os.ReadFile(binary(t, "relay"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.exec, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

// open gives a folder that everybody may look into; those of testing are the test's alone.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "secrets")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// secret gives a file on a mount of its own.
func (c *container) secret(content string, uid, gid int, mode os.FileMode, readOnly bool) (path string) {
	c.t.Helper()
	dir := open(c.t)
	check := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	check(unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size=64k"))
	c.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path = filepath.Join(dir, "secret")
	check(os.WriteFile(path, []byte(content), mode))
	check(os.Chmod(path, mode)) // whatever the umask is
	check(os.Chown(path, uid, gid))
	if readOnly { // for who comes by this mount, as by a container's
		check(unix.Mount(dir, dir, "", unix.MS_BIND, ""))
		c.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		check(unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	return path
}

// command gives the command line of the container's user.
func (c *container) command(args ...string) []string {
	return append([]string{"setpriv", fmt.Sprintf("--reuid=%d", containerUser), fmt.Sprintf("--regid=%d", containerUser),
		fmt.Sprintf("--groups=%d", containerGroup), c.exec}, args...)
}

// Which files with secrets a relay reads, by whose they are and who may read them.
func TestSecretModes(t *testing.T) {
	const ok = ""
	line := "a " + auth.Hash(auth.NewSecret()) + "\n"
	for _, tt := range []struct {
		name      string
		uid, gid  int
		mode      os.FileMode
		readOnly  bool
		complaint string
	}{
		{"its owner's alone", containerUser, 0, 0o600, false, ok},
		{"Kubernetes with an fsGroup", 0, containerGroup, 0o440, true, ok},
		{"root's, for a group", 0, containerGroup, 0o640, false, ok},
		{"another user's, for a group", 1, containerGroup, 0o440, false, ok},
		{"Docker", 0, 0, 0o444, true, ok},
		{"Kubernetes without more", 0, 0, 0o644, true, ok},
		{"its owner's, for a group", containerUser, containerGroup, 0o640, false, "with mode 0640: chmod 600 "},
		{"its owner's, for all, on a read-only mount", containerUser, 0, 0o444, true, ok},
		{"root's, for all", 0, 0, 0o444, false, "with mode 0444: chmod 600 "},
		{"another user's, for all", 1, 1, 0o604, false, "with mode 0604: chmod 600 "},
		{"written by a group", 0, containerGroup, 0o660, false, "with mode 0660: chmod 600 "},
		{"written by all, on a read-only mount", 0, 0, 0o666, true, "with mode 0666: chmod 600 "},
		{"root's alone", 0, 0, 0o600, true, "permission denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t)
			path := c.secret(line, tt.uid, tt.gid, tt.mode, tt.readOnly)
			args := c.command("token", "check", path)
			said, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			if (err == nil) != (tt.complaint == ok) || !strings.Contains(string(said), tt.complaint) {
				t.Errorf("got %v and %q, want %q", err, said, tt.complaint)
			}
		})
	}
}

// A relay and a forwarder whose only way to a secret is what Docker and Kubernetes mount.
func TestSecretsOfContainers(t *testing.T) {
	for name, secret := range map[string]func(c *container, content string) string{
		"Docker":                     func(c *container, content string) string { return c.secret(content, 0, 0, 0o444, true) },
		"Kubernetes with an fsGroup": func(c *container, content string) string { return c.secret(content, 0, containerGroup, 0o440, true) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t)
			token := auth.NewSecret()
			tokens := secret(c, "a "+auth.Hash(token)+"\n")
			addr := localFree(t)
			host, port, _ := net.SplitHostPort(addr)
			start := func(args ...string) *localProcess {
				args = c.command(append(args, "--logFormat=json")...)
				return localStart(t, args[0], args[1:]...)
			}
			t.Setenv("RELAY_TOKENS", tokens)
			relay := start("--bind="+host, port)
			relay.line(0, "being ready", func(line string) bool { return strings.Contains(line, "relay is ready") })
			forwarder := start("--localForwardPort=9", "--tokenFile="+secret(c, token+"\n"), host, port)
			forwarder.line(0, "its public address", func(line string) bool { return strings.Contains(line, " -> ") })
		})
	}
}

// A tokens file that was wrong for whose it is may be put right where nothing else of it
// changes.
func TestTokensAreGivenToAnother(t *testing.T) {
	c := newContainer(t)
	line := func(name string) string { return name + " " + auth.Hash(auth.NewSecret()) + "\n" }
	path := c.secret(line("a"), 0, containerGroup, 0o640, false)
	next := filepath.Join(filepath.Dir(path), "next")
	if err := errors.Join(os.WriteFile(next, []byte(line("a")+line("b")), 0o640), os.Chown(next, containerUser, containerGroup)); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(localFree(t))
	t.Setenv("RELAY_TOKENS", path)
	args := c.command("--bind="+host, "--logFormat=json", port)
	relay := localStart(t, args[0], args[1:]...)
	said := func(what string) {
		t.Helper()
		relay.line(0, what, func(line string) bool { return strings.Contains(line, what) })
	}
	said("relay is ready")
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	said("with mode 0640: chmod 600 ")
	if err := os.Chown(path, 0, containerGroup); err != nil {
		t.Fatal(err)
	}
	said(`"identities":2`)
}
