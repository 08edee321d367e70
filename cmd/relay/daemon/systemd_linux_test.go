//go:build lab

package daemon_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/systemdtest"
)

// service runs relay service on the machine, whose exit status and words it checks.
func service(t *testing.T, m *systemdtest.Machine, status int, want, args string) {
	t.Helper()
	out, err := m.Try("sh", "-c", "relay service "+args)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != status || !strings.Contains(out, want) {
		t.Errorf("relay service %s: status %d, and\n%s\nwant %d, and %q", args, got, out, status, want)
	}
}

func newMachine(t *testing.T) *systemdtest.Machine {
	t.Helper()
	relay := filepath.Join(t.TempDir(), "relay")
	build := exec.Command("go", "build", "-o", relay, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	m := systemdtest.New(t)
	m.Copy(relay, "/usr/local/bin/relay", 0o755)
	m.Boot()
	return m
}

const (
	config = "[server]\nport = 8080\nbind = \"127.0.0.1\"\ntokens = \"tokens\"\n"
	path   = "/etc/relay/relay.toml"
)

func TestSystemd(t *testing.T) {
	m := newMachine(t)
	service(t, m, 4, "relay: not installed", "status")
	service(t, m, 1, "relay is not installed", "uninstall")

	t.Log("what the service could not read is refused, with what to type")
	m.Write("/root/relay.toml", config, 0o600)
	service(t, m, 1, "a service sees nothing of /root", "install --config /root/relay.toml")
	m.Write(path, "[server]\nprot = 8080\n", 0o600)
	service(t, m, 2, "relay.toml:2:1: server.prot", "install --config "+path)
	m.Write(path, config, 0o600)
	service(t, m, 1, "sudo chgrp relay-config /etc/relay/relay.toml && sudo chmod 640 /etc/relay/relay.toml", "install --config "+path)
	m.Run("sh", "-ec", "chgrp relay-config "+path+" && chmod 640 "+path+" && chmod 700 /etc/relay")
	service(t, m, 1, "sudo chgrp relay-config /etc/relay && sudo chmod g+rxs /etc/relay", "install --config "+path)
	m.Run("sh", "-ec", "chgrp relay-config /etc/relay && chmod g+rxs /etc/relay")
	m.Write("/etc/relay/tokens", "", 0o600)
	service(t, m, 1, "sudo chmod 640 /etc/relay/tokens", "install --config "+path)
	m.Run("chmod", "640", "/etc/relay/tokens")
	service(t, m, 4, "relay: not installed", "status")

	t.Log("only an administrator may install")
	out, err := m.Try("setpriv", "--reuid=65534", "--regid=65534", "--groups="+group(m), "relay", "service", "install", "--config", path)
	if err == nil || !strings.Contains(out, "sudo relay service install --config "+path) {
		t.Errorf("somebody is told\n%s", out)
	}

	service(t, m, 0, "relay runs, and starts with this machine", "install --config "+path)
	service(t, m, 0, "relay: running", "status")
	service(t, m, 1, "relay is installed already", "install --config "+path)
	if out := m.Run("relay", "status"); !strings.Contains(out, "relay at 127.0.0.1:8080") {
		t.Errorf("root sees\n%s", out)
	}

	t.Log("another one beside it, which outlives a kill")
	m.Write("/etc/relay/web.toml", strings.Replace(config, "8080", "8081", 1)+"ports = \"21000-21009\"\n", 0o640)
	m.Run("chgrp", "relay-config", "/etc/relay/web.toml")
	service(t, m, 0, "relay-web runs", "install --config /etc/relay/web.toml --name web")
	pid := m.Property("relay-web", "MainPID")
	m.Run("kill", "-9", pid)
	m.Await("it runs again", func() bool {
		now := m.Property("relay-web", "MainPID")
		return now != pid && now != "0" && m.Property("relay-web", "ActiveState") == "active"
	})

	t.Log("both start with the machine")
	m.Kill()
	m.Boot()
	for _, name := range []string{"", " --name web"} {
		service(t, m, 0, ": running", "status"+name)
	}
	m.Run("systemctl", "stop", "relay-web")
	service(t, m, 3, "relay-web: stopped", "status --name web")

	for name, full := range map[string]string{"": "relay", " --name web": "relay-web"} {
		service(t, m, 0, "/var/lib/private/"+full, "uninstall"+name)
		service(t, m, 4, full+": not installed", "status"+name)
		m.Run("test", "-d", "/var/lib/private/"+full)
		m.Run("test", "!", "-e", "/etc/systemd/system/"+full+".service")
		m.Run("test", "!", "-e", "/etc/systemd/system/multi-user.target.wants/"+full+".service")
	}

	t.Log("the unit of a package is left alone")
	m.Write("/usr/lib/systemd/system/relay.service", "[Service]\nExecStart=/bin/true\n", 0o644)
	m.Run("systemctl", "daemon-reload")
	service(t, m, 1, "relay is installed already", "install --config "+path)
	service(t, m, 1, "remove the package", "uninstall")
}

func group(m *systemdtest.Machine) string {
	return strings.Split(m.Run("getent", "group", "relay-config"), ":")[2]
}
