// Package acme gets the relay's certificate from a certificate authority over the
// network, such as Let's Encrypt (RFC 8555), and renews it.
//
// The authority validates that the domain is the relay's. It connects to the domain on
// one of two ports, which are the same for everybody:
//
// - 443, with TLS (TLS-ALPN-01). If that is the relay's control port, nothing else is
// needed: the relay answers among its clients.
// - 80, with HTTP (HTTP-01), where something listens only during a validation.
//
// With another control port one of the two has to be free on the relay's machine and
// open to the internet, or a router has to forward it: see Config.
//
// It brings much code, which is why only the command imports it.
package acme

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// Config sets whose certificate to get, and where.
type Config struct {
	// Domain is the name of the relay, which leads to it from the internet.
	Domain string
	// Email is for the authority, which may write when something is wrong. It may be
	// empty.
	Email string
	// Dir stores certificates and keys, for the owner only. It must outlive the
	// process: authorities issue only so many certificates a week.
	Dir string
	// Directory is the URL of the authority. Empty means Let's Encrypt.
	Directory string
	// Roots vouch for the authority itself. Nil means the system's.
	Roots *x509.CertPool
	// TLSPort and HTTPPort are where the authority's connections to 443 and 80 arrive,
	// if something forwards them. 0 is the port itself, and a negative port is not used
	// at all. On the control port the relay answers.
	TLSPort, HTTPPort int
	// Bind is the address that the relay listens on. Empty means all.
	Bind string
	// Logger logs the progress. It may be nil.
	Logger *slog.Logger
}

// Manager holds the certificate, and renews it. The caller must close it.
type Manager struct {
	config *certmagic.Config
	cache  *certmagic.Cache
	cancel context.CancelFunc

	once     sync.Once
	obtained chan struct{} // closed once there is a certificate
}

// Start begins to get a certificate, and returns at once. The relay must listen on its
// control port already: on any other port a temporary listener answers. The caller has
// agreed to the terms of the authority.
//
// It retries for a month, ever more slowly; the log says why.
func Start(c Config) (*Manager, error) {
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Dir == "" {
		return nil, errors.New("ACME: there is no directory for certificates")
	}
	if err := CheckDomain(c.Domain); err != nil {
		return nil, fmt.Errorf("ACME: %w", err)
	}
	m := &Manager{obtained: make(chan struct{})}
	log := zap.New(core{handler: c.Logger.Handler()})
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.config, nil },
		Logger:           log,
	})
	m.config = certmagic.New(m.cache, m.template(c, log))
	m.config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(m.config, issuer(c, log))}
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	if err := m.config.ManageAsync(ctx, []string{c.Domain}); err != nil {
		m.Close()
		return nil, fmt.Errorf("ACME: %w", err)
	}
	return m, nil
}

// CheckDomain returns why no authority can issue a certificate for domain, or nil.
func CheckDomain(domain string) error {
	if !certmagic.SubjectQualifiesForPublicCert(domain) {
		return fmt.Errorf("no authority issues a certificate for %+.80q: it must be a domain that leads here from the internet", domain)
	}
	return nil
}

func (m *Manager) template(c Config, log *zap.Logger) certmagic.Config {
	return certmagic.Config{
		Storage: &certmagic.FileStorage{Path: c.Dir},
		Logger:  log,
		// Clients that use an address or another name get this certificate, and decide.
		DefaultServerName: c.Domain, FallbackServerName: c.Domain,
		ReusePrivateKeys: true, // so that pins survive a renewal
		OCSP:             certmagic.OCSPConfig{DisableStapling: true},
		OnEvent: func(_ context.Context, event string, _ map[string]any) error {
			switch event {
			case "cert_obtained":
				c.Logger.Info("the certificate authority has issued a certificate", "domain", c.Domain)
			case "cached_managed_cert":
				m.once.Do(func() { close(m.obtained) })
			}
			return nil
		},
	}
}

func issuer(c Config, log *zap.Logger) certmagic.ACMEIssuer {
	return certmagic.ACMEIssuer{
		CA: cmp.Or(c.Directory, certmagic.LetsEncryptProductionCA), Email: c.Email, Agreed: true, TrustedRoots: c.Roots, Logger: log,
		ListenHost:     c.Bind,
		AltTLSALPNPort: max(c.TLSPort, 0), DisableTLSALPNChallenge: c.TLSPort < 0,
		AltHTTPPort: max(c.HTTPPort, 0), DisableHTTPChallenge: c.HTTPPort < 0,
		DisableDistributedSolvers: true, // there is one relay
	}
}

// GetCertificate is for certificate.ServerConfig, whose Authority must be set: it also
// answers the authority. It fails until there is a certificate.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.config.GetCertificate(hello)
}

// Obtained returns a channel that is closed when there is a certificate.
func (m *Manager) Obtained() <-chan struct{} { return m.obtained }

// Close stops the renewals.
func (m *Manager) Close() {
	m.cancel()
	m.cache.Stop()
}
