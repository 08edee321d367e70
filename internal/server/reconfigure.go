package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/protocol"
)

// Settings are what a Server can be told anew while it runs: the fields of Config that have
// the same names.
type Settings struct {
	Ports                          port.Range
	Limits                         admission.Limits
	TrustedProxies, ControlProxies []netip.Prefix
	Identify                       func(conn conn.Conn, token string) (auth.Identity, error)
	WatchOwner                     func(identity string, port int, ended func(reason error)) (stop func(), err error)
	Secure                         func(conn conn.Conn) (conn.Conn, error)
	Encrypted                      bool
	Lease, IdentityLease           time.Duration
	Probe                          time.Duration
	// Keep returns why a tunnel that is bound may not go on under these settings, or nil. It
	// is given the identity, and whether the control connection is encrypted. Nil is that all
	// go on.
	Keep func(identity string, encrypted bool) error
}

// Reconfigure has other settings hold from now on: for each connection that comes, and each
// registration. Users who are joined, and tunnels that are bound, go on, but for those that
// Keep ends. A tunnel whose port is not among Ports any more keeps it until its relay client
// registers again, and a lease until it ends. Calls must not be concurrent.
func (s *Server) Reconfigure(n Settings) {
	c := *s.config.Load()
	c.Ports, c.Limits, c.TrustedProxies, c.ControlProxies = n.Ports, n.Limits, n.TrustedProxies, n.ControlProxies
	c.Identify, c.WatchOwner, c.Secure, c.Encrypted = n.Identify, n.WatchOwner, n.Secure, n.Encrypted
	c.Lease, c.IdentityLease, c.Probe = n.Lease, n.IdentityLease, n.Probe
	c = c.withDefaults()
	s.config.Store(&c)
	s.admission.Reconfigure(c.Limits, slices.Concat(c.TrustedProxies, c.ControlProxies))
	s.entries.Trust(c.TrustedProxies)
	s.endpoints.Reconfigure(c.Limits.UserWait, c.Probe)
	s.registrar.leases.SetTTL(c.Lease, c.IdentityLease)
	if n.Keep != nil {
		s.endpoints.Retire(func(t *endpoint.Client) error { return anew(n.Keep(t.Identity, t.Encrypted)) })
	}
}

// anew returns why a relay client has to register anew, or nil if there is no reason.
func anew(reason error) error {
	if reason == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", auth.ErrIdentityChanged, reason)
}

// errSettingsChanged is why a tunnel ends whose request was read under settings which do not
// hold any more when it is bound.
var errSettingsChanged = observe.WithReason(errors.New("the settings of the relay have changed meanwhile"), observe.SettingsChanged)

// endIfOutdated ends the tunnel of a session whose request was read under a configuration that
// is not in force any more: Reconfigure may not have found the tunnel.
func (h *handshake) endIfOutdated(session protocol.Session) {
	if h.config.Load() == h.under {
		return
	}
	h.endpoints.Retire(func(t *endpoint.Client) error {
		if t.Session == session {
			return anew(errSettingsChanged)
		}
		return nil
	})
}

// isEncrypted reports whether a relay client speaks TLS.
func isEncrypted(c conn.Conn) bool {
	_, is := c.(interface{ ConnectionState() tls.ConnectionState })
	return is
}
