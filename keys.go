package relay

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/seed96252745/relay/internal/secretfile"
)

// KeyStore keeps lease keys. A relay client that shows the key of a public port gets the
// port, after a restart as well. Key may be called concurrently.
type KeyStore interface {
	// Key returns the key that is kept under a name, and makes it at the first call. A key
	// is a secret of 22 to 512 printable characters without a space. With an empty key the
	// port is nobody's: the relay closes it when the relay client is gone. The name says
	// which relay and which server the port is for, and is no secret. After an error Listen
	// and Forward return it.
	Key(name string) (string, error)
}

// FileKeys returns a KeyStore that keeps each key in a file of its own in dir. It makes dir
// if needed. Only the owner may use dir and the files (modes 0700 and 0600); Key returns an
// error for a file that others may read. If two programs share dir, and have the same relay
// and name, they share a port: the one that comes later takes it over.
func FileKeys(dir string) KeyStore { return fileKeys{dir} }

type fileKeys struct{ dir string }

// maxKeyFile bounds what is read of a file.
const maxKeyFile = 1024

// Key reads the key, or makes the file.
func (k fileKeys) Key(name string) (string, error) {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return "", fmt.Errorf("relay: lease key: %w", err)
	}
	hash := sha256.Sum256([]byte(name))
	path := filepath.Join(k.dir, "lease-"+hex.EncodeToString(hash[:8])+".key")
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = writeKey(path, rand.Text()); err == nil {
			key, err = readKey(path) // of another process, if that was quicker
		}
	}
	if err != nil {
		return "", fmt.Errorf("relay: lease key: %w", err)
	}
	return key, nil
}

func readKey(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	if err := secretfile.Check(f); err != nil {
		return "", fmt.Errorf("%w; or delete it to get another port", err)
	}
	b := make([]byte, maxKeyFile)
	n, err := f.Read(b)
	key := strings.TrimSpace(string(b[:n]))
	if err != nil || len(key) < 22 {
		return "", fmt.Errorf("%s holds no key: delete it to get another port", path)
	}
	return key, nil
}

// writeKey makes the file whole or not at all, and does not replace one that exists.
func writeKey(path, key string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".lease-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(key + "\n") // the mode is 0600
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return os.Rename(f.Name(), path) // a file system without hard links
	}
	return nil
}

// memoryKeys are the keys of one listener, which live as long as that. There is one for each
// relay, whatever the listener serves there: Replace leaves it the port.
type memoryKeys struct {
	mu   sync.Mutex // guards what follows
	keys map[string]string
}

// Key returns the key for the relay that the name begins with, or makes one.
func (m *memoryKeys) Key(name string) (string, error) {
	relay, _, _ := strings.Cut(name, " ")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = make(map[string]string)
	}
	if m.keys[relay] == "" {
		m.keys[relay] = rand.Text()
	}
	return m.keys[relay], nil
}
