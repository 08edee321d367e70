package certificate

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/secretfile"
)

// lookEvery is how often the files are looked at, at most, when handshakes ask.
const lookEvery = time.Second

// Files is a certificate and its key in two files, which somebody renews from
// time to time. They are looked at when a handshake wants them: no signal is
// needed, and nothing runs meanwhile.
type Files struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // guards what follows
	current *tls.Certificate
	seen    [2]stamp // what the files were when current was read
	looked  time.Time
	told    string // what was logged last, and is still so
}

// stamp tells whether a file is still what it was.
type stamp struct {
	modified time.Time
	size     int64
}

// FromFiles reads a certificate, followed by those that vouch for it, and its key,
// both as PEM. Later changes are taken over, unless what they lead to is broken:
// then the last good one stays, and log is told. Log may be nil.
func FromFiles(certFile, keyFile string, log *slog.Logger) (*Files, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &Files{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := f.stamps()
	if err != nil {
		return nil, err
	}
	f.seen, f.looked = seen, time.Now()
	if f.current, err = f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// GetCertificate is for tls.Config.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.latest(), nil
}

// GetClientCertificate is for tls.Config.
func (f *Files) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return f.latest(), nil
}

// latest gives what the files hold, or held when they were good.
func (f *Files) latest() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) >= lookEvery {
		f.looked = time.Now()
		f.reload()
	}
	return f.current
}

// reload reads the files if they have changed. Files that are broken are tried
// again at each look, as what is wrong may be mended where no change is seen, in
// their mode or in this process, and are told of once for as long as it is the same:
// whoever renews them may write one after the other.
func (f *Files) reload() {
	seen, err := f.stamps()
	if err == nil && same(seen, f.seen) {
		f.told = ""
		return
	}
	var cert *tls.Certificate
	if err == nil {
		cert, err = f.read()
	}
	switch {
	case err == nil:
		f.current, f.seen, f.told = cert, seen, ""
		f.log.Info("the certificate was renewed", "file", f.certFile, "expires", cert.Leaf.NotAfter)
	case err.Error() != f.told:
		f.told = err.Error()
		f.log.Warn("the certificate was not renewed: the one before stays in use", "error", err)
	}
}

func same(a, b [2]stamp) bool {
	for i := range a {
		if a[i].size != b[i].size || !a[i].modified.Equal(b[i].modified) {
			return false
		}
	}
	return true
}

// stamps looks at both files. After an error it gives none.
func (f *Files) stamps() (seen [2]stamp, err error) {
	for i, file := range []struct{ flag, name string }{{"--tlsCert", f.certFile}, {"--tlsKey", f.keyFile}} {
		info, err := os.Stat(file.name)
		if err != nil {
			return [2]stamp{}, fmt.Errorf("%s: %w", file.flag, err)
		}
		seen[i] = stamp{info.ModTime(), info.Size()}
	}
	return seen, nil
}

// read reads both files.
func (f *Files) read() (*tls.Certificate, error) {
	chain, err := os.ReadFile(f.certFile)
	if err != nil {
		return nil, fmt.Errorf("--tlsCert: %w", err)
	}
	key, err := readPrivate(f.keyFile)
	if err != nil {
		return nil, fmt.Errorf("--tlsKey: %w", err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("--tlsCert=%s with --tlsKey=%s: %w", f.certFile, f.keyFile, err)
	}
	return &cert, nil
}

// readPrivate reads a file that is private, as package secretfile says.
func readPrivate(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := secretfile.Check(file); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key, nil
}
