//go:build lab && linux

package systemdtest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed96252745/relay/internal/systemdtest"
)

// What is on a machine outlives its power, and nothing of it is on this one.
func TestMachine(t *testing.T) {
	m := systemdtest.New(t)
	m.Write("/etc/systemd/system/lives.service", "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	m.Boot()
	m.Run("systemctl", "enable", "--now", "lives")
	before := m.Property("lives", "MainPID")
	if before == "0" {
		t.Fatal("the service does not run")
	}
	m.Run("kill", "-9", before)
	m.Await("the service has failed", func() bool { return m.Property("lives", "Result") == "signal" })
	m.Kill()
	m.Boot()
	m.Await("the service runs", func() bool { return m.Property("lives", "ActiveState") == "active" })
	if out, err := m.Try("false"); err == nil {
		t.Errorf("a program that fails printed %q, and no error", out)
	}
	if _, err := os.Stat("/etc/systemd/system/lives.service"); err == nil {
		t.Error("the unit is on this machine")
	}
	t.Run("gone", func(t *testing.T) { systemdtest.New(t).Boot() })
	if left, _ := filepath.Glob("/sys/fs/cgroup/relay-systemdtest-*-testmachinegone*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
