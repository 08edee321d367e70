//go:build unix

package auth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/auth"
)

// Package secretfile decides which modes are allowed; this tests that it is asked.
func TestModes(t *testing.T) {
	path := write(t, "a")
	for _, mode := range []os.FileMode{0o444, 0o604, 0o660, 0o602} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s is open to others than its owner, with mode %04o: chmod 600 %s", path, mode, path)
		for what, read := range map[string]func(string) error{
			"a secret":      func(path string) error { _, err := auth.ReadSecretFile(path); return err },
			"a tokens file": func(path string) error { _, err := auth.Read(path); return err },
		} {
			if err := read(path); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s, %v: got %v, want %s", what, mode, err, want)
			}
		}
	}
}

// The target of a link counts: the link's own mode means nothing.
func TestLinks(t *testing.T) {
	path := write(t, "a")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if secret, err := auth.ReadSecretFile(link); secret != "a" || err != nil {
		t.Errorf("got %q, %v", secret, err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.ReadSecretFile(link); err == nil {
		t.Error("a file that everybody may read is read by a link")
	}
}

// Reading does not wait for a pipe that nobody writes to.
func TestPipes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + " is a pipe or a device: it must be a plain file"
	if _, err := auth.Read(path); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
