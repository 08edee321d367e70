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

// checkInterval is how often handshakes have the files checked, at most.
const checkInterval = time.Second

// Files is a certificate and its key in two files, which somebody renews from time to
// time. A handshake that needs them checks them: no signal is needed, and nothing runs
// meanwhile.
type Files struct {
	certFile, keyFile string
	log               *slog.Logger

	mu        sync.Mutex // guards what follows
	current   *tls.Certificate
	stamps    [2]stamp // of the files that current was read from
	checked   time.Time
	lastError string // the last logged error, while it persists
}

// stamp shows whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

// FromFiles reads a certificate, followed by those that vouch for it, and its key, both
// as PEM. It picks up later changes, unless the files are broken then: the last good
// certificate stays, and log says so. Log may be nil.
func FromFiles(certFile, keyFile string, log *slog.Logger) (*Files, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &Files{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := f.readStamps()
	if err != nil {
		return nil, err
	}
	f.stamps, f.checked = seen, time.Now()
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

// latest returns the certificate in the files, or the last good one.
func (f *Files) latest() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) >= checkInterval {
		f.checked = time.Now()
		f.reload()
	}
	return f.current
}

// reload reads the files if they have changed. It tries broken files again at each
// check, as they may be repaired without a visible change, in their mode or in this
// process. It logs the same error once: the program that renews them may write one after
// the other.
func (f *Files) reload() {
	seen, err := f.readStamps()
	if err == nil && seen == f.stamps {
		f.lastError = ""
		return
	}
	var cert *tls.Certificate
	if err == nil {
		cert, err = f.read()
	}
	switch {
	case err == nil:
		f.current, f.stamps, f.lastError = cert, seen, ""
		f.log.Info("the certificate was renewed", "file", f.certFile, "expires", cert.Leaf.NotAfter)
	case err.Error() != f.lastError:
		f.lastError = err.Error()
		f.log.Warn("the certificate was not renewed: the previous one stays in use", "error", err)
	}
}

// readStamps returns the stamps of both files, or an error.
func (f *Files) readStamps() (seen [2]stamp, err error) {
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

// readPrivate reads a file that has to be private, as package secretfile says.
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
