//go:build lab && linux

package packages_test

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// made is the folder with the packages for this machine's architecture.
var made string

func TestMain(m *testing.M) { os.Exit(makeAndRun(m)) }

func makeAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "relay-packages-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	made = filepath.Join(dir, "packages")
	build := exec.Command("./build")
	build.Env = append(os.Environ(), "OUT="+made, "ARCHS="+runtime.GOARCH, "VERSION=1.2.3+20260102030405.abc")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out) + err.Error())
	}
	return m.Run()
}

// packageOf returns the path of the package of a format.
func packageOf(t *testing.T, format string) string {
	t.Helper()
	found, err := filepath.Glob(made + "/*." + format)
	if err != nil || len(found) != 1 {
		t.Fatalf("packages: %v, %v; want one", found, err)
	}
	return found[0]
}

// inAll is what is in every package. The services are not in that of Alpine, which has no systemd.
var (
	inAll = []string{
		"/etc/relay/relay.toml", "/etc/relay/forwarder.toml", "/usr/bin/relay",
		"/usr/share/bash-completion/completions/relay", "/usr/share/fish/vendor_completions.d/relay.fish",
		"/usr/share/doc/relay/changelog.gz", "/usr/share/doc/relay/examples/relay.toml",
		"/usr/share/man/man1/relay.1.gz", "/usr/share/man/man1/relay-token-new.1.gz",
	}
	services = []string{"/usr/lib/systemd/system/relay.service", "/usr/lib/systemd/system/relay-forwarder.service"}
)

func contains(t *testing.T, list string, wanted ...string) {
	t.Helper()
	for _, path := range wanted {
		if !strings.Contains("\n"+list, "\n"+path+"\n") {
			t.Errorf("%s is not in it:\n%s", path, list)
		}
	}
}

// Nothing here has Alpine's apk, so that its package is read, and not installed.
func TestAlpine(t *testing.T) {
	file, err := os.Open(packageOf(t, "apk"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	list, about := "", ""
	// A package is archives, one after the other, each compressed by itself.
	for from := bufio.NewReader(file); ; {
		part, err := gzip.NewReader(from)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		part.Multistream(false)
		for archive := tar.NewReader(part); ; {
			entry, err := archive.Next()
			if err != nil {
				break // the first ones have no mark at their end
			}
			list += "/" + strings.TrimPrefix(entry.Name, "/") + "\n"
			if entry.Name == ".PKGINFO" {
				text, err := io.ReadAll(archive)
				if err != nil {
					t.Fatal(err)
				}
				about = string(text)
			}
		}
		if _, err := io.Copy(io.Discard, part); err != nil {
			t.Fatal(err)
		}
	}
	contains(t, list, inAll...)
	contains(t, list, "/usr/share/zsh/site-functions/_relay", "/usr/share/licenses/relay/LICENSE", "/.pre-install", "/.post-deinstall")
	contains(t, about, "pkgname = relay", "pkgver = 1.2.3_git20260102030405", "license = Apache-2.0")
}
