// Package acme gets the relay's certificate from a certificate authority over the
// network, as Let's Encrypt gives them to everybody (RFC 8555), and renews it.
//
// The authority wants to see that the domain is the relay's. It connects to the
// domain, and has a choice of two ports, which are the same for everybody:
//
//   - 443, with TLS (TLS-ALPN-01). If that is the relay's control port, all is
//     there: the relay answers among its clients.
//   - 80, with HTTP (HTTP-01), where something listens only while it is asked.
//
// With another control port one of the two has to be free on the relay's machine
// and open to the internet, or a router has to forward it: see Config.
//
// It takes much code, which is why nobody but the command imports it.
package acme

import (
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

// Config says whose certificate, and from whom.
type Config struct {
	// Domain is the name of the relay, which leads to it from the internet.
	Domain string
	// Email is for the authority, which may write when something is wrong. It may
	// be empty.
	Email string
	// Dir keeps certificates and keys, for the owner only. It must outlive the
	// process: authorities give only so many certificates a week.
	Dir string
	// Directory is the URL of the authority. Empty is Let's Encrypt.
	Directory string
	// Roots vouch for the authority itself. Nil is whom the system trusts.
	Roots *x509.CertPool
	// TLSPort and HTTPPort are where the authority's connections to 443 and 80
	// arrive, if something forwards them. 0 is the port itself, and a negative one
	// is not used at all. If it is the control port, the relay answers.
	TLSPort, HTTPPort int
	// Bind is the address that the relay listens on. Empty is all of them.
	Bind string
	// Logger is told what goes on. It may be nil.
	Logger *slog.Logger
}

// Manager has the certificate, and renews it. It has to be closed.
type Manager struct {
	config *certmagic.Config
	cache  *certmagic.Cache
	cancel context.CancelFunc

	once     sync.Once
	obtained chan struct{} // closed once there is a certificate
}

// Start begins to get a certificate, and returns at once. The control port must be
// listened on already: where the relay does not answer, somebody else is listening
// for a while. Whoever uses this has agreed to the terms of the authority.
//
// It goes on trying for a month, ever more slowly; the log says why.
func Start(c Config) (*Manager, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
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

// CheckDomain tells whether an authority can give a certificate for it.
func CheckDomain(domain string) error {
	if !certmagic.SubjectQualifiesForPublicCert(domain) {
		return fmt.Errorf("no authority gives a certificate for %+.80q: it takes a domain that leads here from the internet", domain)
	}
	return nil
}

func (m *Manager) template(c Config, log *zap.Logger) certmagic.Config {
	return certmagic.Config{
		Storage: &certmagic.FileStorage{Path: c.Dir},
		Logger:  log,
		// Clients that know an address or another name have a certificate to
		// decide about.
		DefaultServerName: c.Domain, FallbackServerName: c.Domain,
		ReusePrivateKeys: true, // and so pins survive a renewal
		OCSP:             certmagic.OCSPConfig{DisableStapling: true},
		OnEvent: func(_ context.Context, event string, _ map[string]any) error {
			switch event {
			case "cert_obtained":
				c.Logger.Info("the certificate authority has given a certificate", "domain", c.Domain)
			case "cached_managed_cert":
				m.once.Do(func() { close(m.obtained) })
			}
			return nil
		},
	}
}

func issuer(c Config, log *zap.Logger) certmagic.ACMEIssuer {
	directory := c.Directory
	if directory == "" {
		directory = certmagic.LetsEncryptProductionCA
	}
	return certmagic.ACMEIssuer{
		CA: directory, Email: c.Email, Agreed: true, TrustedRoots: c.Roots, Logger: log,
		ListenHost:     c.Bind,
		AltTLSALPNPort: max(c.TLSPort, 0), DisableTLSALPNChallenge: c.TLSPort < 0,
		AltHTTPPort: max(c.HTTPPort, 0), DisableHTTPChallenge: c.HTTPPort < 0,
		DisableDistributedSolvers: true, // there is one relay
	}
}

// GetCertificate is for certificate.ServerConfig, whose Authority has to be set:
// it answers the authority as well. Until there is a certificate it gives an error.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.config.GetCertificate(hello)
}

// Obtained is closed when there is a certificate.
func (m *Manager) Obtained() <-chan struct{} { return m.obtained }

// Close stops renewing.
func (m *Manager) Close() {
	m.cancel()
	m.cache.Stop()
}
