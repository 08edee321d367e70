//go:build lab && linux

package packages_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/systemdtest"
)

// newMachine returns a machine that runs, and has a package at packagePath.
func newMachine(t *testing.T, format string) *systemdtest.Machine {
	t.Helper()
	m := systemdtest.New(t)
	m.Copy(packageOf(t, format), packagePath, 0o644)
	m.Boot()
	return m
}

const packagePath = "/root/relay-package"

// files returns what is on the machine, but for what other programs keep for themselves.
func files(m *systemdtest.Machine) []string {
	out := m.Run("find", "/etc", "/usr", "/opt", "/var", "-xdev", "(",
		"-path", "/var/cache", "-o", "-path", "/var/log", "-o", "-path", "/var/tmp", "-o", "-path", "/var/lib/dpkg", "-o",
		"-path", "/var/lib/rpm", "-o", "-path", "/root/.rpmdb", "-o", "-path", "/var/lib/systemd", "-o", "-path", "/usr/lib/sysimage",
		"-o", "-name", "*-", "-path", "/etc/*", ")", "-prune", "-o", "-print")
	list := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(list)
	return list
}

// added returns what is in after, and was not in before.
func added(before, after []string) (more []string) {
	for _, path := range after {
		if _, was := slices.BinarySearch(before, path); !was {
			more = append(more, path)
		}
	}
	return more
}

func active(m *systemdtest.Machine, unit string) bool {
	return m.Property(unit, "ActiveState") == "active"
}

// use does what a new owner of the package does: lets somebody in, and starts a relay and a
// forwarder, which outlive a kill and a reboot.
func use(t *testing.T, m *systemdtest.Machine) {
	t.Helper()
	if out := m.Run("relay", "--version"); !strings.HasPrefix(out, "relay version ") {
		t.Errorf("relay --version prints %q", out)
	}
	for _, unit := range []string{"relay", "relay-forwarder"} {
		if out, err := m.Try("systemctl", "is-enabled", unit); err == nil {
			t.Errorf("%s is %s although nobody has said what it is to do", unit, out)
		}
	}
	if out, err := m.Try("systemctl", "start", "relay"); err == nil {
		t.Errorf("a relay runs that nobody was let in to, or everybody: %s", out)
	}
	m.Run("sh", "-ec", `relay token new --name=web 2>/root/secret >>/etc/relay/tokens
		grep -o 'relay_[A-Za-z0-9]*' /root/secret | head -n 1 >/etc/relay/relay.token
		sed -i s/relay.example.com/localhost/ /etc/relay/forwarder.toml`)
	for _, unit := range []string{"relay", "relay-forwarder"} {
		m.Run("systemctl", "enable", "--now", unit)
		pid := m.Property(unit, "MainPID")
		m.Run("kill", "-9", pid)
		m.Await(unit+" runs again", func() bool { return m.Property(unit, "MainPID") != pid && active(m, unit) })
	}
	m.Kill()
	m.Boot()
	for _, unit := range []string{"relay", "relay-forwarder"} {
		m.Await(unit+" runs after a reboot", func() bool { return active(m, unit) })
	}
	m.Await("the forwarder is registered", func() bool {
		out, _ := m.Try("relay", "status") // which fails, as there is no web server
		return strings.Contains(out, "1 served")
	})
}

// states are the folders that a package leaves, and where systemd keeps what they are links to.
var states = []string{
	"/var/lib/private", "/var/lib/private/relay", "/var/lib/private/relay-forwarder", "/var/lib/relay", "/var/lib/relay-forwarder",
}

// leaves checks what is left, and whether the package has named it.
func leaves(t *testing.T, before, after []string, said string) {
	t.Helper()
	for _, path := range added(before, after) {
		if !slices.Contains(states, path) && !strings.HasPrefix(path, "/var/lib/private/relay/") && !strings.HasPrefix(path, "/var/lib/private/relay-forwarder/") {
			t.Errorf("%s is left", path)
		}
	}
	for _, path := range added(after, before) {
		t.Errorf("%s is gone, which was there before", path)
	}
	for _, state := range []string{"/var/lib/relay", "/var/lib/relay-forwarder"} {
		if _, left := slices.BinarySearch(after, state); !left {
			t.Errorf("%s is gone: it has the leases of public ports, or the key of one", state)
		}
		if !strings.Contains(said, "rm -rf /var/lib/private"+strings.TrimPrefix(state, "/var/lib")+" "+state+"\n") {
			t.Errorf("it does not name %s, but says\n%s", state, said)
		}
	}
}

// updates runs a command that installs a new version, and checks that the relay has handed over to
// it: the unit has another process, and has not been started again.
func updates(t *testing.T, m *systemdtest.Machine, command ...string) {
	t.Helper()
	pid, run := m.Property("relay", "MainPID"), m.Property("relay", "InvocationID")
	m.Run(command...)
	if now := m.Property("relay", "MainPID"); now == pid || !active(m, "relay") {
		t.Errorf("after an update the old process %s runs, or none: %s", pid, now)
	}
	if now := m.Property("relay", "InvocationID"); now != run {
		t.Error("an update has started the relay again, and its users are gone")
	}
}

func TestDebian(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is not installed: this is for Debian")
	}
	t.Parallel()
	m := newMachine(t, "deb")
	before := files(m)
	m.Run("dpkg", "--no-triggers", "-i", packagePath) // triggers take long, and concern other packages
	contains(t, m.Run("dpkg", "-L", "relay"), append(services, inAll...)...)
	contains(t, m.Run("dpkg", "-L", "relay"), "/usr/share/zsh/vendor-completions/_relay", "/usr/share/doc/relay/copyright")
	use(t, m)

	t.Log("an update has the new program take over from the old one, and leaves alone what was changed")
	m.Run("sh", "-ec", "cd /root; dpkg-deb -R "+packagePath+" new; sed -i 's/^Version:.*/Version: 2.0.0/' new/DEBIAN/control; "+
		"echo '# new' >>new/etc/relay/relay.toml; echo '# new' >>new/etc/relay/forwarder.toml; dpkg-deb -Znone -b new new.deb")
	update := []string{"dpkg", "--no-triggers", "--force-confdef", "-i", "/root/new.deb"}
	updates(t, m, update...)
	kept(t, m)

	t.Log("an update whose program refuses the file leaves the old one in its place")
	m.Run("sh", "-ec", "cp /etc/relay/relay.toml /root/good; echo nonsense >>/etc/relay/relay.toml")
	pid := m.Property("relay", "MainPID")
	if said := m.Run(update...); !strings.Contains(said, "relay goes on with the old program") || m.Property("relay", "MainPID") != pid || !active(m, "relay") {
		t.Errorf("the relay is %s, and was %s; the update says\n%s", m.Property("relay", "MainPID"), pid, said)
	}
	m.Run("sh", "-ec", "cat /root/good >/etc/relay/relay.toml; rm /root/good")

	t.Log("without the package nothing runs, and what was changed is there")
	m.Run("dpkg", "--no-triggers", "-r", "relay")
	if active(m, "relay") {
		t.Error("the service runs without its package")
	}
	kept(t, m)
	said := m.Run("dpkg", "--no-triggers", "-P", "relay")
	leaves(t, before, files(m), said)
	if out, err := m.Try("getent", "group", "relay-config"); err == nil {
		t.Errorf("the group is left: %s", out)
	}
}

// kept checks that what an operator has changed is as it was.
func kept(t *testing.T, m *systemdtest.Machine) {
	t.Helper()
	if text := m.Run("cat", "/etc/relay/forwarder.toml"); !strings.Contains(text, "localhost:8080") {
		t.Errorf("what the operator has written is gone:\n%s", text)
	}
	m.Run("test", "-s", "/etc/relay/tokens")
}

// The package of Red Hat and its like, on a machine that has Debian's rpm and an empty database.
func TestRPM(t *testing.T) {
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Skip("rpm is not installed: apt-get install rpm")
	}
	t.Parallel()
	m := newMachine(t, "rpm")
	// These are other packages' there.
	m.Run("mkdir", "-p", "/usr/share/fish/vendor_completions.d", "/usr/share/licenses", "/usr/share/zsh/site-functions")
	before := files(m)
	m.Run("rpm", "--install", "--nodeps", packagePath)
	list := m.Run("rpm", "--query", "--list", "relay")
	contains(t, list, append(services, inAll...)...)
	contains(t, list, "/usr/share/zsh/site-functions/_relay", "/usr/share/licenses/relay/LICENSE")
	contains(t, m.Run("rpm", "--query", "--configfiles", "relay"), "/etc/relay/relay.toml", "/etc/relay/forwarder.toml")
	use(t, m)

	t.Log("an update has the new program take over from the old one, and leaves alone what was changed")
	updates(t, m, "rpm", "--upgrade", "--nodeps", "--force", packagePath)
	kept(t, m)

	said := m.Run("rpm", "--erase", "relay")
	if active(m, "relay") {
		t.Error("the service runs without its package")
	}
	// rpm knows no purge: what an operator has written is left, and so is the group.
	m.Run("test", "-s", "/etc/relay/tokens")
	m.Run("test", "-s", "/etc/relay/forwarder.toml.rpmsave")
	m.Run("rm", "-r", "/etc/relay")
	leaves(t, before, files(m), said)
}
