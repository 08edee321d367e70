// Package node puts a relay together: protocols, listeners, identities and limits become a
// server. It is the one place that knows all protocols of the relay's side, and it does
// nothing by itself. An [Admin] shows the relay to its operator.
package node

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/front"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/sshd"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// Config is what a relay can be told.
type Config struct {
	// Bind is the host of the public ports. Empty means all addresses.
	Bind string
	// Ports are the public ports to choose from.
	Ports port.Range
	// Limits bound what everybody may have.
	Limits admission.Limits
	// TrustedProxies may say who users are; see server.Config.
	TrustedProxies []netip.Prefix
	// ControlProxies may say who relay clients are, likewise.
	ControlProxies []netip.Prefix
	// TLS are the settings for relay clients that speak it. Nil is none.
	TLS *tls.Config
	// RequireTLS refuses those that do not. It needs TLS.
	RequireTLS bool
	// Tokens say who may use the relay. Nil lets in everybody.
	Tokens *auth.File
	// Leases keeps what ports are leased. Nil forgets it.
	Leases lease.Store
	// Lease is for how long a port is kept while its owner is away, and TokenLease
	// for owners with a token. Zero is the server's default.
	Lease, TokenLease time.Duration
	// Probe is how often relay clients that can are asked whether they could serve a user.
	// Zero is never.
	Probe time.Duration
	// Logger gets what an operator wants to know. Nil discards it.
	Logger *slog.Logger
	// Sinks get every event, beside the log.
	Sinks []observe.Sink
	// SSH is the front for SSH clients, or nil.
	SSH *sshd.Front
	// SSHAuthorities vouch for SSH clients. Nil is none.
	SSHAuthorities auth.SSHAuthorities
	// From is what this process has from the one before it, or nil.
	From *Inheritance
}

// Relay gives a server that does nothing yet, and has to be closed. It fails if
// descriptors are short.
func Relay(c Config) (*server.Server, error) {
	limits, now := c.Limits.WithDefaults(), settings(c)
	budget := multiplex.NewBudget(limits.Buffered)
	var other front.Front
	sinks := c.Sinks
	if c.SSH != nil {
		c.SSH.SetBudget(budget)
		c.SSH.SetIdentities(identities(c))
		other, sinks = c.SSH, append(slices.Clone(sinks), c.SSH)
	}
	return server.New(server.Config{
		Protocols: []protocol.Relay{
			&multiplex.Relay{
				Budget:      budget,
				MaxStreams:  limits.Streams,
				MaxSessions: limits.Sessions,
				MaxFurther:  limits.SessionsInAll,
				Counters:    new(multiplex.Counters),
				Ended:       admission.NewRecentSet[wire.Key](),
			},
			pool.NewRelay(pool.Config{
				MaxIdle:      limits.Idle,
				MaxIdleInAll: limits.IdleInAll,
				Ended:        admission.NewRecentSet[wire.Key](),
			}),
			event.NewRelay(event.Config{
				MaxPending: limits.Pending,
				Served:     admission.NewRecentSet[wire.Key](),
			}),
		},
		Ports: now.Ports,
		Listen: func(port int) (conn.Listener, error) {
			return transport.ListenUsers(net.JoinHostPort(c.Bind, strconv.Itoa(port)))
		},
		TrustedProxies: now.TrustedProxies,
		ControlProxies: now.ControlProxies,
		Introduce:      proxyproto.ReadClient,
		Limits:         now.Limits,
		Logger:         c.Logger,
		Sinks:          sinks,
		Front:          other,
		Secure:         now.Secure,
		Encrypted:      now.Encrypted,
		Identify:       now.Identify,
		WatchOwner:     now.WatchOwner,
		Leases:         c.Leases,
		Lease:          now.Lease,
		IdentityLease:  now.IdentityLease,
		Probe:          now.Probe,
		Estate:         c.From.Estate(),
	})
}

// secure gives the function that tells TLS from plain text.
func secure(config *tls.Config, required bool) func(conn.Conn) (conn.Conn, error) {
	if required {
		return func(conn conn.Conn) (conn.Conn, error) { return transport.RequireTLS(conn, config) }
	}
	return func(conn conn.Conn) (conn.Conn, error) { return transport.Secure(conn, config) }
}
