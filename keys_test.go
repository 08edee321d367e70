package relay_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/seed96252745/relay"
)

// keyFile returns the only file in dir.
func keyFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("there are %v, %v; want one file", files, err)
	}
	return filepath.Join(dir, files[0].Name())
}

func keyOf(t *testing.T, dir, name string) string {
	t.Helper()
	key, err := relay.FileKeys(dir).Key(name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A key is made once for each name, and only its owner may read it.
func TestFileKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	key := keyOf(t, dir, "relay.example.com:8080 localhost:80")
	if len(key) < 22 || strings.ContainsAny(key, " \n") {
		t.Errorf("%q is no key", key)
	}
	if again := keyOf(t, dir, "relay.example.com:8080 localhost:80"); again != key {
		t.Errorf("the key was %q, and is %q", key, again)
	}
	path := keyFile(t, dir)
	if strings.Contains(path, "example") || strings.Contains(path, key) {
		t.Errorf("the file has the name %s", path)
	}
	for path, want := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != want {
			t.Errorf("%s has %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	if other := keyOf(t, dir, "relay.example.com:8080 localhost:81"); other == key {
		t.Error("two names have one key")
	}
}

// A damaged file is an error that says what to do, and the file stays.
func TestFileKeysDamaged(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "short": "tooshort\n", "blank": strings.Repeat(" ", 30)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			keyOf(t, dir, "name")
			path := keyFile(t, dir)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := relay.FileKeys(dir).Key("name")
			if err == nil || !strings.Contains(err.Error(), path+" holds no key: delete it") {
				t.Errorf("got %v, want what to do about %s", err, path)
			}
			if got, err := os.ReadFile(path); string(got) != content || err != nil {
				t.Errorf("the file has %q now, %v", got, err)
			}
		})
	}
}

// A key that others may have read is not used.
func TestFileKeysReadableByOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes")
	}
	for _, mode := range []os.FileMode{0o660, 0o604, 0o620} {
		dir := t.TempDir()
		keyOf(t, dir, "name")
		path := keyFile(t, dir)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := relay.FileKeys(dir).Key("name"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%v: got %v, want what to do", mode, err)
		}
	}
}

func TestFileKeysWithoutFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err := relay.FileKeys(filepath.Join(file, "dir")).Key("name"); err == nil {
		t.Errorf("got %q from a folder that cannot be", key)
	}
}

// Programs that are started for the first time at once share one key, and leave nothing else
// behind.
func TestFileKeysAtOnce(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		keys := make([]string, 16)
		var starting sync.WaitGroup
		for i := range keys {
			starting.Go(func() {
				var err error
				if keys[i], err = relay.FileKeys(dir).Key("name"); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
		for _, key := range keys {
			if key != keys[0] {
				t.Fatalf("there are the keys %q", keys)
			}
		}
		keyFile(t, dir)
	}
}
