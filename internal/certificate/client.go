package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// ClientConfig sets how a relay client verifies its relay, and how it identifies
// itself. The zero value trusts the system's authorities.
type ClientConfig struct {
	// CAFile has the certificates of the authorities that may vouch for the relay, as
	// PEM. Empty means those of the system.
	CAFile string
	// Pins are keys, one of which the relay must have: see Pin. Without a CAFile no
	// authority needs to vouch for it then.
	Pins []string
	// ServerName is the name in the relay's certificate, if that is not the host that
	// is dialed. With pins alone no name is checked.
	ServerName string
	// CertFile and KeyFile are the client's own certificate, if it has one. They are
	// read again when they change.
	CertFile, KeyFile string
	// Logger logs that. It may be nil.
	Logger *slog.Logger
}

// TLS returns the TLS configuration.
func (c ClientConfig) TLS() (*tls.Config, error) {
	config := &tls.Config{ServerName: c.ServerName, MinVersion: tls.VersionTLS13}
	if c.CAFile != "" {
		roots, err := ReadAuthorities(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--tlsCa: %w", err)
		}
		config.RootCAs = roots
	}
	if len(c.Pins) > 0 {
		accepted, err := parsePins(c.Pins)
		if err != nil {
			return nil, err
		}
		config.VerifyConnection = accepted.verify
		// This skips nothing that a pin does not check better. The handshake always
		// proves that the relay has the key of its certificate. Nothing checks who
		// vouches for that key, under which name and until when, since the pin says
		// that it is the right key. Unlike a function for single certificates,
		// VerifyConnection is called for every handshake.
		config.InsecureSkipVerify = c.CAFile == ""
	}
	if c.CertFile == "" && c.KeyFile == "" {
		return config, nil
	}
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, errors.New("a certificate and its key belong together: give both, --tlsCert and --tlsKey")
	}
	own, err := FromFiles(c.CertFile, c.KeyFile, c.Logger)
	if err != nil {
		return nil, err
	}
	config.GetClientCertificate = own.GetClientCertificate
	return config, nil
}

// ReadAuthorities reads the certificates of authorities, as PEM.
func ReadAuthorities(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("certificate authorities: %s has no certificate in PEM", file)
	}
	return pool, nil
}

// PeerName returns the name of a relay client from its certificate: the first DNS name,
// or else the common name. It is empty without a certificate that one of our
// authorities vouches for. Anybody who can get certificates from that authority chooses
// the name, so it may be any text.
func PeerName(state tls.ConnectionState) string {
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return ""
	}
	leaf := state.VerifiedChains[0][0]
	if len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return leaf.Subject.CommonName
}
