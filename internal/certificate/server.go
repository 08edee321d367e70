package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// ServerConfig says how the relay shows who it is, and whether its clients have
// to as well.
type ServerConfig struct {
	// GetCertificate gives the certificate for a handshake: see Fixed,
	// Files.GetCertificate and package acme.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAs may vouch for relay clients. Nil asks none for a certificate.
	ClientCAs *x509.CertPool
	// RequireClient turns clients away that have none. Otherwise one that has a
	// certificate must have a good one.
	RequireClient bool
	// Authority is set if a certificate authority may connect to see whose name
	// this is (TLS-ALPN-01, RFC 8737). GetCertificate has the answer for it.
	Authority bool
}

// Fixed is a GetCertificate that always gives cert.
func Fixed(cert tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
}

// TLS makes the settings.
func (c ServerConfig) TLS() *tls.Config {
	config := &tls.Config{
		GetCertificate: c.GetCertificate,
		MinVersion:     tls.VersionTLS13,
		// Records that start small are for browsers, and cost system calls.
		DynamicRecordSizingDisabled: true,
		// A ticket is something that a client may leave unread, and closing a
		// socket with something unread is a reset, which destroys what the client
		// said last. It also would outlive the certificate that a client has shown.
		SessionTicketsDisabled: true,
	}
	if c.ClientCAs != nil {
		config.ClientCAs, config.ClientAuth = c.ClientCAs, tls.VerifyClientCertIfGiven
		if c.RequireClient {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	if c.Authority {
		config.GetConfigForClient = forAuthority(config)
	}
	return config
}

// forAuthority gives other settings to whoever asks for acmeProtocol: that one
// has no certificate of its own. It is let in nowhere: see transport.Secure. As
// others are offered no protocol, theirs is not refused.
func forAuthority(config *tls.Config) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	const acmeProtocol = "acme-tls/1"
	authority := config.Clone()
	authority.ClientAuth, authority.ClientCAs = tls.NoClientCert, nil
	authority.NextProtos = []string{acmeProtocol}
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, acmeProtocol) {
			return authority, nil
		}
		return nil, nil // as for everybody
	}
}
