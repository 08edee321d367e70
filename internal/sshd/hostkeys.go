package sshd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/secretfile"
)

// hostKeys are the kinds of keys that a front is known by. With all three, each client finds
// one that it likes best; adding or removing one later would have clients warn of a relay that
// they do not know.
var hostKeys = []struct {
	file string
	make func() (crypto.Signer, error)
}{
	{"ssh_host_ed25519_key", func() (crypto.Signer, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
	{"ssh_host_ecdsa_key", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
	{"ssh_host_rsa_key", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 3072) }},
}

// HostKeys returns the keys of a folder, and makes those that are missing. A file that is there
// and cannot be used is an error: clients would take a new key for an attack.
func HostKeys(dir string) (keys []ssh.Signer, err error) {
	for _, k := range hostKeys {
		path := filepath.Join(dir, k.file)
		key, err := readHostKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			key, err = makeHostKey(path, k.make)
		}
		if err != nil {
			return nil, fmt.Errorf("the host key for SSH: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func readHostKey(path string) (ssh.Signer, error) {
	file, _, err := secretfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()                                        //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxHostKey)) // a longer one is no key
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// maxHostKey is more than an RSA key of 16384 bits has.
const maxHostKey = 64 << 10

// makeHostKey makes a key that is on disk, whole, before anybody sees it.
func makeHostKey(path string, generate func() (crypto.Signer, error)) (ssh.Signer, error) {
	key, err := generate()
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "relay")
	if err != nil {
		return nil, err
	}
	if err := secretfile.Write(filepath.Dir(path), path, pem.EncodeToMemory(block)); err != nil {
		return nil, err
	}
	return ssh.NewSignerFromSigner(key)
}
