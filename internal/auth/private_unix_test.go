//go:build unix

package auth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/auth"
)

func TestModes(t *testing.T) {
	path := write(t, "a")
	for mode := range os.FileMode(0o1000) {
		mode |= 0o400 // or the test would need root
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := auth.ReadSecretFile(path)
		if mode&0o077 == 0 {
			if err != nil {
				t.Errorf("%v: %v", mode, err)
			}
			continue
		}
		want := fmt.Sprintf("%s is open to others than its owner, with mode %04o: chmod 600 %s", path, mode, path)
		if err == nil || err.Error() != want {
			t.Errorf("%v: got %v, want %s", mode, err, want)
		}
	}
	if _, err := auth.Read(path); err == nil {
		t.Error("a tokens file that everybody may read is read")
	}
}

// What counts is the file that a link leads to: a link's own mode says nothing.
func TestLinks(t *testing.T) {
	path := write(t, "a")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if secret, err := auth.ReadSecretFile(link); secret != "a" || err != nil {
		t.Errorf("got %q, %v", secret, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.ReadSecretFile(link); err == nil {
		t.Error("a file that its group may read is read by a link")
	}
}

// A pipe to which nobody writes is not waited for.
func TestPipes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + " is a pipe or a device: it has to be a plain file"
	if _, err := auth.Read(path); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
