package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// ServerConfig sets how the relay identifies itself, and whether its clients must do so
// too.
type ServerConfig struct {
	// GetCertificate returns the certificate for a handshake: see Fixed,
	// Files.GetCertificate and package acme.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAs may vouch for relay clients. Nil asks no client for a certificate.
	ClientCAs *x509.CertPool
	// RequireClient rejects clients without a certificate. Otherwise a client may have
	// none, but not a bad one.
	RequireClient bool
	// Authority lets a certificate authority connect to validate the domain
	// (TLS-ALPN-01, RFC 8737). GetCertificate has the answer for it.
	Authority bool
}

// Fixed returns a GetCertificate that always returns cert.
func Fixed(cert tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
}

// TLS returns the TLS configuration.
func (c ServerConfig) TLS() *tls.Config {
	config := &tls.Config{
		GetCertificate: c.GetCertificate,
		MinVersion:     tls.VersionTLS13,
		// Records that start small are for browsers, and cost system calls.
		DynamicRecordSizingDisabled: true,
		// A client may leave a ticket unread, and closing a socket with unread bytes
		// is a reset, which destroys what the client sent last. A ticket would also
		// outlive the certificate that a client has shown.
		SessionTicketsDisabled: true,
	}
	if c.ClientCAs != nil {
		config.ClientCAs, config.ClientAuth = c.ClientCAs, tls.VerifyClientCertIfGiven
		if c.RequireClient {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	if c.Authority {
		config.GetConfigForClient = configForAuthority(config)
	}
	return config
}

// configForAuthority returns another configuration to a client that asks for
// acmeProtocol, since an authority has no certificate of its own. Such a client gets no
// further: see transport.Secure. Other clients are offered no protocol, so theirs is
// not refused.
func configForAuthority(config *tls.Config) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	const acmeProtocol = "acme-tls/1"
	authority := config.Clone()
	authority.ClientAuth, authority.ClientCAs = tls.NoClientCert, nil
	authority.NextProtos = []string{acmeProtocol}
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, acmeProtocol) {
			return authority, nil
		}
		return nil, nil // the default configuration
	}
}
