package node

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/server"
)

// Reconfigure has a server that Relay has made with the configuration old run under c from
// now on. Bind, Leases, Logger and Sinks stay as they are. Tokens is the same file as before,
// whose path may be another one, or is nil as before; likewise TLS.ClientCAs is nil as before
// or not: who may use a relay that everybody might use, or the reverse, is for a new start.
// Tunnels go on, but for those that c would not let in: in plain text once TLS is required,
// or with a certificate once other authorities vouch.
func Reconfigure(s *server.Server, old, c Config) {
	n := settings(c)
	if c.SSH != nil {
		c.SSH.SetIdentities(identities(c))
	}
	sshAuthorities := !c.SSHAuthorities.Equal(old.SSHAuthorities)
	authorities := old.hasAuthorities() && (!c.hasAuthorities() || !c.TLS.ClientCAs.Equal(old.TLS.ClientCAs))
	n.Keep = func(identity string, encrypted bool) error {
		switch {
		case c.RequireTLS && !encrypted:
			return errPlain
		case authorities && strings.HasPrefix(identity, auth.CertificatePrefix):
			return errAuthorities
		case sshAuthorities && strings.HasPrefix(identity, auth.SSHCertificatePrefix):
			return errAuthorities
		}
		return nil
	}
	s.Reconfigure(n)
}

// Why tunnels end under other settings.
var (
	errPlain       = observe.WithReason(errors.New("the relay requires TLS now, and the relay client speaks plain text"), observe.SettingsChanged)
	errAuthorities = observe.WithReason(errors.New("other authorities vouch for relay clients now"), observe.SettingsChanged)
)

// ErrOpenness is the error of MayReconfigure.
var ErrOpenness = errors.New("whether everybody may use the relay cannot change while it runs")

// MayReconfigure returns an error if a server cannot go from one configuration to the other
// while it runs.
func MayReconfigure(old, c Config) error {
	for _, is := range []struct {
		what     string
		now, was bool
	}{
		{"tokens", c.Tokens != nil, old.Tokens != nil},
		{"authorities for certificates", c.hasAuthorities(), old.hasAuthorities()},
		{"authorities for certificates of SSH", c.SSHAuthorities != nil, old.SSHAuthorities != nil},
	} {
		if is.now != is.was {
			return fmt.Errorf("%w: %s come or go", ErrOpenness, is.what)
		}
	}
	return nil
}

func (c *Config) hasAuthorities() bool { return c.TLS != nil && c.TLS.ClientCAs != nil }

// identities returns who may use the relay.
func identities(c Config) auth.Authenticator {
	return auth.Authenticator{Tokens: c.Tokens, Certificates: c.hasAuthorities(), Ports: c.Ports, SSH: c.SSHAuthorities}
}

// settings returns what a server can be told anew.
func settings(c Config) server.Settings {
	clients := identities(c)
	return server.Settings{
		Ports: c.Ports, Limits: c.Limits.WithDefaults(),
		TrustedProxies: c.TrustedProxies, ControlProxies: c.ControlProxies,
		Identify: clients.Identify, WatchOwner: clients.WatchOwner,
		Secure: secure(c.TLS, c.RequireTLS), Encrypted: c.RequireTLS,
		Lease: c.Lease, IdentityLease: c.TokenLease, Probe: c.Probe,
	}
}
