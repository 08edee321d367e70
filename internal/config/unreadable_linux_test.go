package config_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/config"
)

// A file that is another user's is refused with what to do. To root every file is readable, so
// that the test reads it as somebody else.
func TestUnreadable(t *testing.T) {
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "relay.toml")
	if err := os.WriteFile(path, []byte("[server]\nport = 8080\n"), 0o000); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			_ = unix.Setfsuid(65534)
		}
		_, err := config.Load(path)
		result <- err
	}()
	if err := <-result; err == nil || !strings.Contains(err.Error(), path+" cannot be read by the user who runs relay: make it readable for that user") {
		t.Errorf("a file that cannot be read: %v", err)
	}
}
