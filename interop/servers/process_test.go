//go:build linux

package servers_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds the run of any program. Nothing comes near it unless it hangs.
const patience = 2 * time.Minute

// program finds a program that comes with one of packages, or skips the test.
func program(t *testing.T, name, packages string) string {
	t.Helper()
	// Debian keeps servers where only root's PATH looks, or no PATH.
	for _, dir := range []string{"/usr/lib/postgresql/*/bin", "/usr/sbin"} {
		if found, _ := filepath.Glob(filepath.Join(dir, name)); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: apt-get install %s", name, packages)
	}
	return path
}

// command prepares a program. It takes no settings from the environment, and is killed
// when the test or the test binary has ended.
func command(t *testing.T, path string, args ...string) *exec.Cmd {
	return commandFor(t, patience, path, args...)
}

// commandFor is command for a program that may run for so long.
func commandFor(t *testing.T, most time.Duration, path string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), most)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(cmd.SysProcAttr.Pdeathsig) }
	return cmd
}

// run runs a program to its end and returns what it printed on stdout.
func run(t *testing.T, cmd *exec.Cmd, stdin []byte) []byte {
	t.Helper()
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%v: %v\n%s", cmd, err, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return out
}

// process is a program that runs in the background, until the test ends.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	lines  chan string // of stdout and stderr
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	output, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p := &process{cmd, make(chan struct{}), make(chan string, 1000)}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			t.Logf("%s: %s", filepath.Base(cmd.Path), lines.Text())
			select {
			case p.lines <- lines.Text():
			default: // nobody awaits a line any more
			}
		}
	}()
	t.Cleanup(func() {
		<-p.exited
		output.Close() // a child of the program may still have the other end
		<-logged
	})
	return p
}

// await waits for the process to print a line that has text in it.
func (p *process) await(t *testing.T, text string) string {
	t.Helper()
	for {
		select {
		case line := <-p.lines:
			if strings.Contains(line, text) {
				return line
			}
		case <-p.exited:
			t.Fatalf("%v ended without %q", p.cmd, text)
		}
	}
}

// home is a server's own directory, and the user that it runs as.
type home struct {
	dir string
	as  *syscall.Credential // nil for the current user
}

// newHome makes a directory for a server that refuses to run as root. It is not
// t.TempDir, which other users cannot reach.
func newHome(t *testing.T, name string) home {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() != 0 {
		return home{dir: dir}
	}
	account, err := user.Lookup(name)
	if err != nil {
		t.Fatalf("the user that comes with the server's package: %v", err)
	}
	uid, _ := strconv.Atoi(account.Uid) // a number on Linux
	gid, _ := strconv.Atoi(account.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return home{dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func (h home) command(t *testing.T, path string, args ...string) *exec.Cmd {
	cmd := command(t, path, args...)
	cmd.Dir, cmd.SysProcAttr.Credential = h.dir, h.as
	return cmd
}
