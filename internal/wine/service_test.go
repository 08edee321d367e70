//go:build wine

package wine_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
)

// service runs relay service, and returns its exit status and what it prints.
func service(t *testing.T, args ...string) (status int, text string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), wine.loader, append([]string{exe, "service"}, args...)...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	}
	must(t, err)
	return 0, string(out)
}

// Windows starts the service, finds it running, and has it end when asked. Wine's service manager
// is there as long as a program is: the relay beside it.
func TestService(t *testing.T) {
	startRelay(t)
	// Windows has this from its installation.
	events := exec.CommandContext(t.Context(), wine.loader, "reg", "add", `HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application`)
	events.Env = environment()
	must(t, events.Run())
	expect := func(wantStatus int, want string, args ...string) {
		t.Helper()
		status, text := service(t, args...)
		if status != wantStatus || !strings.Contains(text, want) {
			t.Fatalf("relay service %v: status %d, and\n%s\nwant %d, and %q", args, status, text, wantStatus, want)
		}
	}
	addr := "127.0.0.1:" + conntest.FreePort(t)
	_, port, _ := net.SplitHostPort(addr)
	config := filepath.Join(prefix, "drive_c", "relay.toml")
	must(t, os.WriteFile(config, []byte("[server]\nbind = \"127.0.0.1\"\nport = "+port+"\n"), 0o600))

	expect(4, "relay: not installed", "status")
	expect(0, "relay runs", "install", "--config", `C:\relay.toml`)
	expect(0, "relay: running", "status")
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	_ = conn.Close()
	expect(1, "is installed already", "install", "--config", `C:\relay.toml`)
	expect(0, "relay is removed", "uninstall")
	expect(4, "relay: not installed", "status")
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("the service was removed, and goes on")
	}
	expect(1, "only Windows runs this", "run", "--config", `C:\relay.toml`)
}
