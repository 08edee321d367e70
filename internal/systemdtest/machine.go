//go:build linux

package systemdtest

import (
	"bytes"
	"context"
	_ "embed" // the scripts are files of their own
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything on a machine may take, on one that does other things too.
const patience = time.Minute

var (
	//go:embed hold.sh
	hold string
	//go:embed boot.sh
	boot string
)

// Machine is a machine that systemd runs on. It is for one goroutine.
type Machine struct {
	t      testing.TB
	ctx    context.Context
	base   string // folder of its files, which only its own processes see
	group  string // its control group
	script string // boots it
	holder *exec.Cmd
	init   *exec.Cmd // unshare, whose only child is systemd
}

// New makes a machine, which is off. It is removed when the test ends.
func New(t testing.TB) *Machine {
	t.Helper()
	for _, name := range []string{"unshare", "nsenter", "/lib/systemd/systemd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed: apt-get install %s", name, Packages)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	dir := t.TempDir()
	m := &Machine{t: t, ctx: ctx, base: filepath.Join(dir, "machine"), script: filepath.Join(dir, "boot.sh")}
	m.group = fmt.Sprintf("relay-systemdtest-%d-%s", os.Getpid(), strings.ToLower(filepath.Base(dir)+filepath.Base(filepath.Dir(dir))))
	if err := os.Mkdir(m.base, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.script, []byte(boot), 0o600); err != nil {
		t.Fatal(err)
	}
	m.holder = m.command("unshare", "--mount", "--uts", "--ipc", "--net", "/bin/sh", "-c", hold, "hold", m.base, m.group)
	input, err := m.holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := m.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && m.init != nil {
			log, _ := m.Try("journalctl", "--boot", "--no-hostname", "--output=short-monotonic", "--lines=20")
			t.Logf("the end of the machine's journal:\n%s", log)
		}
		m.Kill()
		_ = input.Close() // which ends the holder
		if err := m.holder.Wait(); err != nil {
			t.Errorf("the machine is not removed: %v", err)
		}
		cancel()
	})
	said := make([]byte, len("held\n"))
	if _, err := io.ReadFull(output, said); err != nil {
		t.Fatalf("the machine has no files: %v", err)
	}
	return m
}

// command prepares a program of this machine, which is killed with the test binary.
func (m *Machine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.ctx, name, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// inside prepares a command in the namespaces of a process.
func (m *Machine) inside(pid int, namespaces []string, args ...string) *exec.Cmd {
	return m.command("nsenter", append(append([]string{"--target=" + strconv.Itoa(pid)}, namespaces...), args...)...)
}

// Boot turns the machine on, and waits until it has started what it has to.
func (m *Machine) Boot() {
	m.t.Helper()
	m.init = m.inside(m.holder.Process.Pid, []string{"--mount", "--uts", "--ipc", "--net"}, "/bin/sh", m.script, m.base, m.group)
	if err := m.init.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.Await("is-system-running, running or degraded", func() bool {
		out, _ := m.Try("systemctl", "is-system-running", "--wait")
		return strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded")
	})
}

// Kill turns the machine off, as a power failure does: every process is killed. Its files stay.
func (m *Machine) Kill() {
	if m.init == nil {
		return
	}
	_ = m.init.Process.Kill()
	_ = m.init.Wait() // its error is that it was killed
	m.init = nil
}

// systemd returns the process of systemd, or 0 while it has not begun.
func (m *Machine) systemd() int {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.init.Process.Pid))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(children)))
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || string(name) != "systemd\n" {
		return 0
	}
	return pid
}

// Try runs a program on the machine, which is on, and returns what it prints.
func (m *Machine) Try(args ...string) (string, error) {
	pid := m.systemd()
	if pid == 0 {
		return "", fmt.Errorf("systemd does not run")
	}
	cmd := m.inside(pid, []string{"--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--root", "--wd"}, args...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root", "SYSTEMD_PAGER=", "DEBIAN_FRONTEND=noninteractive"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// Run runs a program on the machine, which has to succeed.
func (m *Machine) Run(args ...string) string {
	m.t.Helper()
	out, err := m.Try(args...)
	if err != nil {
		m.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// Write writes a file onto the machine, on or off.
func (m *Machine) Write(path, content string, mode os.FileMode) {
	m.t.Helper()
	m.copy(path, strings.NewReader(content), mode)
}

// Copy copies a file of this machine onto the machine.
func (m *Machine) Copy(from, to string, mode os.FileMode) {
	m.t.Helper()
	file, err := os.Open(from)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // it was read
	m.copy(to, file, mode)
}

func (m *Machine) copy(to string, content io.Reader, mode os.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.base, "root", to)
	cmd := m.inside(m.holder.Process.Pid, []string{"--mount"}, "/bin/sh", "-ec",
		`mkdir -p "$(dirname "$0")"; cat >"$0"; chmod "$1" "$0"`, path, fmt.Sprintf("%o", mode))
	cmd.Stdin = content
	if out, err := cmd.Output(); err != nil {
		m.t.Fatalf("%s: %v\n%s", to, err, out)
	}
}

// Await waits until what is true.
func (m *Machine) Await(what string, is func() bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.ctx, patience)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-ctx.Done():
			m.t.Fatalf("it is still not so: %s", what)
		}
	}
}

// Property returns a property of a unit, as systemctl show has it.
func (m *Machine) Property(unit, name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.Run("systemctl", "show", "--property="+name, "--value", unit))
}
