//go:build unix

package admin_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/api/client"
)

// A socket is its owner's alone, is found by the client, and is gone at the end.
func TestSocket(t *testing.T) {
	dir := filepath.Join(shortDir(t), "state")
	path := filepath.Join(dir, api.SocketName(api.Relay, 8080))
	l, err := admin.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	r := startAt(t, l, admin.Access{Owner: true})
	wantMode(t, path, os.ModeSocket|0o600)
	wantMode(t, dir, os.ModeDir|0o700)
	wantFiles(t, dir, filepath.Base(path))
	found, err := client.Find(dir)
	if err != nil || len(found) != 1 || found[0] != (client.Socket{Path: path, Kind: api.Relay, Number: 8080}) {
		t.Fatalf("found are %v, %v", found, err)
	}
	c := client.Dial(path)
	defer c.Close()
	if status, err := c.Status(t.Context()); err != nil || status.Tunnels != 1 {
		t.Errorf("the status is %+v, %v", status, err)
	}
	if _, err := admin.ListenSocket(path); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a live socket: %v", err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("after another process has tried: %v", err)
	}
	r.Close()
	wantFiles(t, dir)
}

// The socket of a process that was killed is replaced, and no other file is.
func TestStaleSocket(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, api.SocketName(api.Forwarder, 1))
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, filepath.Base(path))
	if found, err := client.Find(dir); err != nil || len(found) != 0 {
		t.Errorf("found are %v, %v", found, err)
	}
	l, err := admin.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if !client.Live(path) {
		t.Error("nobody listens")
	}
	// Another process has put its own in its place: that one stays.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := admin.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, filepath.Base(path))
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ListenSocket(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	wantFiles(t, dir, filepath.Base(path))
}

// A path that is too long for a socket is said to be that, and what to do.
func TestLongSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if _, err := admin.ListenSocket(filepath.Join(dir, "s")); err == nil || !strings.Contains(err.Error(), "shorter --stateDir") {
		t.Errorf("a long path: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder was made")
	}
}

// Each listener has places of its own: a crowd at one leaves the other to the owner.
func TestCrowd(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := admin.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, admin.Access{Token: token})
	served := make(chan error, 1)
	go func() { served <- r.Serve(l, admin.Access{Owner: true}) }()
	t.Cleanup(func() { r.Close(); <-served })
	address := strings.TrimPrefix(r.base, "http://")
	for range 64 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	c := client.Dial(path)
	defer c.Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// shortDir returns a folder with a shorter path than t.TempDir, which is too long for
// sockets on some systems.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func wantMode(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != mode {
		t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if !slices.Equal(names, want) {
		t.Errorf("%s has %q, want %q", dir, names, want)
	}
}
