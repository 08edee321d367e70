package certificate_test

import (
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/certificate"
)

// The next handshake uses a renewed certificate, and never a broken one.
func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	first, second := issue(t, nil, "first"), issue(t, nil, "second")
	certFile, keyFile := first.save(t, dir)
	synctest.Test(t, func(t *testing.T) {
		var log logged
		files, err := certificate.FromFiles(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		wantName(t, files, "first")
		second.save(t, dir)
		touch(t, certFile, 1)
		wantName(t, files, "first") // the files were just checked
		later(t)
		wantName(t, files, "second")
		if n := log.count("renewed"); n != 1 {
			t.Errorf("the log reports it %d times", n)
		}

		write(t, certFile, first.certPEM, 0o644) // its key is still to come
		touch(t, certFile, 2)
		for range 3 {
			later(t)
			wantName(t, files, "second")
		}
		if n := log.count("was not renewed"); n != 1 {
			t.Errorf("the log reports %d times a key that does not match", n)
		}
		write(t, keyFile, first.keyPEM, 0o600)
		touch(t, keyFile, 2)
		later(t)
		wantName(t, files, "first")

		if err := os.Remove(certFile); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			later(t)
			wantName(t, files, "first")
		}
		if n := log.count("was not renewed"); n != 2 {
			t.Errorf("the log reports it %d times, want one more", n)
		}
		second.save(t, dir)
		later(t)
		wantName(t, files, "second")
	})
}

// later waits until the files are checked again.
func later(t *testing.T) {
	t.Helper()
	<-time.After(2 * time.Second) // simulated
}

// touch changes the file's time: the clock of the test stands still, and that of the
// system may be coarse.
func touch(t *testing.T, name string, day int) {
	t.Helper()
	at := time.Date(2030, 1, day, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

func wantName(t *testing.T, files *certificate.Files, want string) {
	t.Helper()
	cert, err := files.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil || leaf.Subject.CommonName != want {
		t.Fatalf("got %q, %v; want %q", leaf.Subject.CommonName, err, want)
	}
}

// A relay does not start with broken files, and says what is wrong.
func TestFilesAreRefused(t *testing.T) {
	good, other := issue(t, nil, "good"), issue(t, nil, "other")
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, certFile, keyFile string)
		want  string
	}{
		"no certificate":    {func(_ *testing.T, cert, _ string) { _ = os.Remove(cert) }, "it.crt"},
		"no key":            {func(_ *testing.T, _, key string) { _ = os.Remove(key) }, "it.key"},
		"another key":       {func(t *testing.T, _, key string) { write(t, key, other.keyPEM, 0o600) }, "match"},
		"not a certificate": {func(t *testing.T, cert, _ string) { write(t, cert, []byte("hello"), 0o600) }, "it.crt"},
		"the wrong way round": {func(t *testing.T, cert, key string) {
			write(t, cert, good.keyPEM, 0o600)
			write(t, key, good.certPEM, 0o600)
		}, "PEM"},
		"a directory":         {func(_ *testing.T, cert, _ string) { _ = os.Remove(cert); _ = os.Mkdir(cert, 0o700) }, "it.crt"},
		"a key for the group": {func(t *testing.T, _, key string) { write(t, key, good.keyPEM, 0o660) }, "chmod 600"},
		"a key for all":       {func(t *testing.T, _, key string) { write(t, key, good.keyPEM, 0o604) }, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want == "chmod 600" && runtime.GOOS == "windows" {
				t.Skip("Windows says in another way who may read a file")
			}
			certFile, keyFile := good.save(t, t.TempDir())
			tt.spoil(t, certFile, keyFile)
			_, err := certificate.FromFiles(certFile, keyFile, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to hold %q", err, tt.want)
			}
		})
	}
}

func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "one")
	first, err := certificate.SelfSigned(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := certificate.SelfSigned(dir)
	if err != nil {
		t.Fatal(err)
	}
	if certificate.Pin(first.Leaf) != certificate.Pin(again.Leaf) {
		t.Error("it is another one the second time")
	}
	other, err := certificate.SelfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if certificate.Pin(first.Leaf) == certificate.Pin(other.Leaf) {
		t.Error("elsewhere it is the same one")
	}
	if left := time.Until(first.Leaf.NotAfter); left < 9*365*24*time.Hour {
		t.Errorf("it is good for %v", left)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the directory holds %v, %v", entries, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, entries[0].Name()): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
}

// A lost key must not be replaced silently: every client has its pin.
func TestBrokenSelfSigned(t *testing.T) {
	dir := t.TempDir()
	if _, err := certificate.SelfSigned(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "selfsigned.pem")
	write(t, name, []byte("nothing"), 0o600)
	if _, err := certificate.SelfSigned(dir); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	write(t, name, nil, 0o644)
	if _, err := certificate.SelfSigned(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("with a key for all: got %v", err)
	}
}

func TestSelfSignedWithoutADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil, 0o600)
	if _, err := certificate.SelfSigned(file); err == nil {
		t.Error("a file passes for a directory")
	}
}

// A key that others may read is not used. As soon as they may not, it is.
func TestFilesAreReadOnceModeIsRight(t *testing.T) {
	dir := t.TempDir()
	first, second := issue(t, nil, "first"), issue(t, nil, "second")
	certFile, keyFile := first.save(t, dir)
	synctest.Test(t, func(t *testing.T) {
		var log logged
		files, err := certificate.FromFiles(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		second.save(t, dir)
		touch(t, certFile, 1)
		if err := os.Chmod(keyFile, 0o644); err != nil {
			t.Fatal(err)
		}
		later(t)
		wantName(t, files, "first")
		if log.count("chmod 600") != 1 {
			t.Error("the log does not tell once")
		}
		if err := os.Chmod(keyFile, 0o600); err != nil { // as the log says
			t.Fatal(err)
		}
		later(t)
		wantName(t, files, "second")
	})
}
