package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"path/filepath"
	"time"

	"github.com/seed96252745/relay/internal/secretfile"
)

// selfSignedFile holds the key and the certificate, so that neither exists without the
// other.
const selfSignedFile = "selfsigned.pem"

// SelfSigned returns the certificate that is kept in dir, for which nothing vouches but
// its pin. If there is none it makes one, and the directory too, which only its owner
// can read. Clients compare keys, and check neither its name nor its time, which is ten
// years. To have another one, remove the file; every client then needs the new pin.
func SelfSigned(dir string) (tls.Certificate, error) {
	name := filepath.Join(dir, selfSignedFile)
	content, err := readPrivate(name)
	if errors.Is(err, fs.ErrNotExist) {
		if content, err = makeSelfSigned(); err == nil {
			err = secretfile.Write(dir, name, content)
		}
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("self-signed certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(content, content)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("self-signed certificate: %s is broken: %w; restore it, or remove it to have a new one", name, err)
	}
	return cert, nil
}

// New returns a certificate like that, which is stored nowhere.
func New() (tls.Certificate, error) {
	content, err := makeSelfSigned()
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("self-signed certificate: %w", err)
	}
	return tls.X509KeyPair(content, content)
}

// makeSelfSigned returns a key and a certificate for it, as PEM.
func makeSelfSigned() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "relay"},
		NotBefore:    now.Add(-24 * time.Hour), // clocks differ
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...,
	), nil
}
