//go:build lab && linux

package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed96252745/relay/deploy/systemd"
	"github.com/seed96252745/relay/internal/systemdtest"
)

// What the machine of these tests has in /etc/relay. The relay's control port is a low one.
const (
	relayFile = `[server]
port = 443
bind = "127.0.0.1"
ports = "20000-20009"
tokens = "tokens"
`
	forwarderFile = `[relay]
address = "127.0.0.1:443"
tokenFile = "echo.token"

[services.echo]
local = "127.0.0.1:7"
port = 20005
`
)

// setUp returns a machine that runs, with the units of the packages, a server that echoes, and
// what an operator writes.
func setUp(t *testing.T) *systemdtest.Machine {
	relay := filepath.Join(t.TempDir(), "relay")
	build := exec.Command("go", "build", "-o", relay, "../../cmd/relay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	m := systemdtest.New(t)
	m.Copy(relay, "/usr/bin/relay", 0o755)
	for _, unit := range systemd.Units() {
		m.Copy(unit.FileName(), "/usr/lib/systemd/system/"+unit.FileName(), 0o644)
	}
	m.Write("/etc/systemd/system/echo.socket", "[Socket]\nListenStream=127.0.0.1:7\nAccept=yes\n[Install]\nWantedBy=sockets.target\n", 0o644)
	m.Write("/etc/systemd/system/echo@.service", "[Service]\nExecStart=/bin/cat\nStandardInput=socket\nStandardOutput=socket\n", 0o644)
	m.Boot()
	m.Run("systemctl", "enable", "--now", "echo.socket")
	m.Run("groupadd", "--system", systemd.ConfigGroup)
	m.Run("install", "-d", "-m", "2750", "-g", systemd.ConfigGroup, "/etc/relay")
	m.Write("/etc/relay/relay.toml", relayFile, 0o644)
	m.Write("/etc/relay/forwarder.toml", forwarderFile, 0o644)
	// As an operator does it, with the umask that a root shell has.
	m.Run("sh", "-ec", `umask 022; relay token new --name=echo --ports=20005 2>/tmp/secret >/etc/relay/tokens
		grep -o 'relay_[A-Za-z0-9_]*' /tmp/secret | head -n 1 >/etc/relay/echo.token; test -s /etc/relay/echo.token`)
	return m
}

// serves waits until users of the public port are served.
func serves(m *systemdtest.Machine) {
	m.Await("users are served", func() bool {
		out, _ := m.Try("bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/20005; echo hello >&3; timeout 20 head -n 1 <&3`)
		return strings.HasSuffix(out, "hello\n")
	})
}

var both = []string{"relay", "relay-forwarder"}

func TestUnits(t *testing.T) {
	m := setUp(t)
	for _, unit := range both {
		m.Run("systemctl", "enable", "--now", unit) // which returns when it is ready
	}
	serves(m)
	t.Run("private", func(t *testing.T) { testPrivate(t, m) })
	t.Run("seen", func(t *testing.T) {
		if out := m.Run("relay", "status"); !strings.Contains(out, "relay at 127.0.0.1:443") || !strings.Contains(out, "forwarder to 127.0.0.1:443") {
			t.Errorf("root sees with relay status\n%s", out)
		}
	})
	t.Run("reload", func(t *testing.T) { testReload(t, m) })
	t.Run("killed", func(t *testing.T) {
		signals := map[string]string{"relay": "-KILL", "relay-forwarder": "-ABRT"} // which is how it ends after a panic
		for unit, signal := range signals {
			pid := m.Property(unit, "MainPID")
			m.Run("kill", signal, pid)
			awaitNext(m, unit, pid)
		}
		serves(m)
	})
	t.Run("hangs", func(t *testing.T) { testWatchdog(t, m) })
	t.Run("reboot", func(t *testing.T) {
		m.Kill()
		m.Boot()
		serves(m)
	})
	t.Run("stopped", func(t *testing.T) {
		m.Run("systemctl", "stop", "relay", "relay-forwarder")
		for _, unit := range both {
			if result := m.Property(unit, "Result"); result != "success" {
				t.Errorf("%s has ended with %s", unit, result)
			}
		}
	})
	t.Run("wrong", func(t *testing.T) {
		m.Write("/etc/relay/relay.toml", "[server]\nprot = 8080\n", 0o640)
		if out, err := m.Try("systemctl", "start", "relay"); err == nil {
			t.Errorf("a wrong file was started: %s", out)
		}
		if state, restarts := m.Property("relay", "ActiveState"), m.Property("relay", "NRestarts"); state != "failed" || restarts != "0" {
			t.Errorf("the unit is %s after %s more tries; want failed, and 0", state, restarts)
		}
		if log := m.Run("journalctl", "-u", "relay"); !strings.Contains(log, "relay.toml:2:1: server.prot") {
			t.Errorf("the journal does not have what is wrong:\n%s", log)
		}
	})
}

// testPrivate tries who may read what.
func testPrivate(t *testing.T, m *systemdtest.Machine) {
	for _, unit := range both {
		if user := strings.Fields(m.Run("ps", "-o", "uid=", "-p", m.Property(unit, "MainPID"))); user[0] == "0" {
			t.Errorf("%s runs as root", unit)
		}
		state := "/var/lib/" + unit
		for _, path := range []string{"/etc/relay/tokens", "/etc/relay/echo.token", "/etc/relay/relay.toml", state + "/."} {
			if out, err := m.Try("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", path); err == nil {
				t.Errorf("anybody gets to %s: %s", path, out)
			}
		}
		if out := m.Run("stat", "-L", "-c", "%a", state); out != "700\n" {
			t.Errorf("%s has mode %s", state, out)
		}
	}
}

// testReload reloads a file that is right and one that is not.
func testReload(t *testing.T, m *systemdtest.Machine) {
	pid := m.Property("relay", "MainPID")
	m.Write("/etc/relay/relay.toml", relayFile+"maxUsers = 100\n", 0o640)
	m.Run("systemctl", "reload", "relay")
	m.Write("/etc/relay/relay.toml", relayFile+"maxUsers = -1\n", 0o640)
	if out, err := m.Try("systemctl", "reload", "relay"); err == nil {
		t.Errorf("a wrong file was reloaded: %s", out)
	}
	if log := m.Run("journalctl", "-u", "relay"); !strings.Contains(log, "relay.toml:6:1: server.maxUsers") {
		t.Errorf("the journal does not have what is wrong:\n%s", log)
	}
	m.Write("/etc/relay/relay.toml", relayFile, 0o640)
	m.Run("systemctl", "reload", "relay", "relay-forwarder")
	if now := m.Property("relay", "MainPID"); now != pid {
		t.Errorf("the process was %s, and is %s", pid, now)
	}
	serves(m)
}

// awaitNext waits for the process of a unit that comes after that with ID pid.
func awaitNext(m *systemdtest.Machine, unit, pid string) {
	m.Await(unit+" runs again", func() bool {
		now := m.Property(unit, "MainPID")
		return now != pid && now != "0" && m.Property(unit, "ActiveState") == "active"
	})
}

// testWatchdog stops a process, which answers nobody any more.
func testWatchdog(t *testing.T, m *systemdtest.Machine) {
	const changes = "/etc/systemd/system/relay.service.d/watchdog.conf"
	m.Write(changes, "[Service]\nWatchdogSec=1\nTimeoutAbortSec=1\n", 0o644)
	m.Run("systemctl", "daemon-reload")
	m.Run("systemctl", "restart", "relay")
	pid := m.Property("relay", "MainPID")
	m.Run("kill", "-STOP", pid)
	awaitNext(m, "relay", pid)
	m.Run("rm", changes)
	m.Run("systemctl", "daemon-reload")
	m.Run("systemctl", "restart", "relay")
	serves(m)
}
