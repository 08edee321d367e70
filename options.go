package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/wire"
)

// Protocol is the way in which users reach a relay client. All protocols carry the same
// bytes in the same way; they differ in the connections that they need.
type Protocol string

const (
	// Multiplex carries all users over one connection, or a few: see Options.Sessions. It
	// is the default.
	Multiplex Protocol = multiplex.Name
	// Pool keeps connections waiting at the relay, of which each user gets one. A user
	// is served without a round trip to the relay client.
	Pool Protocol = pool.Name
	// Event opens a connection for each user when the user comes.
	Event Protocol = event.Name
)

// DefaultPoolSize is how many connections a pool keeps waiting by default.
const DefaultPoolSize = 16

// MaxPoolSize is how many connections a relay keeps for one relay client.
const MaxPoolSize = pool.MaxSize

// DefaultSessions is how many connections Multiplex spreads users over by default without
// TLS, and DefaultTLSSessions with TLS: one connection is one thread's encryption.
const (
	DefaultSessions    = 1
	DefaultTLSSessions = 4
)

// MaxSessions is how many connections a relay lets one multiplex tunnel have.
const MaxSessions = multiplex.MaxSessions

// Probe is what a relay may ask from time to time, which is every 15 seconds if its operator
// has not chosen otherwise.
type Probe string

const (
	// ProbeLocal answers whether the local server accepts connections. Forward connects to
	// it and closes that connection. A Listener has no local server, and answers as with
	// ProbeSession.
	ProbeLocal Probe = "local"
	// ProbeSession answers that this process is there, without a connection to the local
	// server.
	ProbeSession Probe = "session"
	// ProbeOff answers nothing.
	ProbeOff Probe = "off"
)

// DefaultDrain is how long Forward lets connections finish by default.
const DefaultDrain = 30 * time.Second

// Options are the settings of Listen and Forward, which copy them. Nil and the zero value
// stand for the defaults.
type Options struct {
	// Protocol defaults to Multiplex.
	Protocol Protocol

	// PoolSize is how many connections Pool keeps waiting, at most MaxPoolSize. Zero
	// means DefaultPoolSize.
	PoolSize int

	// Sessions is how many connections Multiplex spreads the users over, at most
	// MaxSessions. A relay may grant fewer. Zero means DefaultSessions, or with TLS
	// DefaultTLSSessions.
	Sessions int

	// TLS encrypts the connections to the relay, and says how the relay proves who it
	// is; see [PinnedTLS] for a relay that has made its certificate itself. An empty
	// ServerName stands for the relay's host. Nil means plain text. There is no fallback
	// from TLS to plain text.
	TLS *tls.Config

	// Token shows a relay with a tokens file who this is. It is a secret. Empty shows
	// none.
	Token string

	// TokenSource, if not nil, is called for the token before each registration, so that
	// a new token needs no restart, and by Forwarder.Reload. It is not called concurrently,
	// and should be quick.
	// If it fails, that is logged, and the previous token is shown, at first Token. If
	// that is empty too, the registration fails.
	TokenSource func() (string, error)

	// Name is a name for the tunnel: up to 64 letters, digits, dots, underscores and
	// hyphens. The relay's log shows it. Empty means no name.
	Name string

	// Port asks for this public port; the relay refuses if it cannot be had. Zero takes
	// the port that the relay chooses, and the same one again after that.
	Port int

	// Allow and Deny are the networks that users may come from, and may not come from.
	// Without any, users may come from everywhere. The relay may be stricter.
	Allow, Deny []netip.Prefix

	// Users bounds the users at a time, UsersPerSecond the new users a second from one
	// address, and BytesPerSecond the bytes a second of all users together, both ways
	// added up. Zero leaves it to the relay, which may be stricter in any case.
	Users, UsersPerSecond int
	BytesPerSecond        int64

	// Keys keeps the key that proves to the relay whose public port it is, so that the
	// port stays the same. Nil keeps the key in memory: the port then stays the same until
	// the listener is closed, or Forward returns. See [FileKeys].
	Keys KeyStore

	// Group has others serve the public port as well: all that show a token, or a certificate,
	// of the same name, and give the same Group, Balance, Port, Allow, Deny, Users,
	// UsersPerSecond and BytesPerSecond. A name is as in Name. The relay refuses one that differs
	// from those who are there. Keys tells members apart: of two with one key the later takes
	// over from the other. Empty means that no others do.
	Group string

	// Balance is how the relay spreads the users over the members of Group. It defaults to
	// BalanceLeast.
	Balance Balance

	// ProxyProtocol has Forward write a PROXY protocol header of version 1 or 2 before the
	// bytes of each user, so that the local server knows the user's address. Zero writes
	// none. Listen does not use it.
	ProxyProtocol int

	// Probe is what the relay may ask, so that its operator sees how this tunnel does. It
	// defaults to ProbeLocal. At a relay of an earlier version it has no effect.
	Probe Probe

	// HealthCheck has Forward check the local server, and take no users while that fails. Nil
	// is no check. Listen does not use it.
	HealthCheck *HealthCheck

	// Engine is what Forward runs connections on. Forwarders that share one need less memory
	// and fewer threads, and give their users IDs of one series. Nil makes one for each Run.
	// Listen does not use it.
	Engine *Engine

	// KeepTrying has Forward go on when the relay refuses what it has never granted, for a
	// reason that does not pass by itself: a token that the relay does not know, a port
	// that somebody else has. Without it Forward returns the *RefusedError. Listen returns
	// the first refusal in any case.
	KeepTrying bool

	// Logger gets what an operator wants to know, such as that the relay was lost and
	// found again, or that the local server cannot be reached. Nil discards it. It is
	// called where users are served: a handler that waits, for a pipe that nobody reads,
	// say, holds up all users. So the handler should queue lines, and drop those beyond a
	// bound.
	Logger *slog.Logger

	// OnRegister, if not nil, is called after each registration with the public address,
	// which may differ each time. The first call comes before Listen returns; later ones
	// come on a goroutine of the listener. It is not called concurrently, and users wait
	// until it returns. A panic in it is not caught.
	OnRegister func(public net.Addr)

	// OnEvent, if not nil, is called with each event. It may be called concurrently, where
	// users are served, and must not wait. Listen has events of its registrations and of
	// limits; what becomes of a user it does not know.
	OnEvent func(TunnelEvent)

	// Drain is how long Forward lets connections finish after its context is done. It
	// waits only 2 seconds for a connection on which nothing moves, or 10 while bytes wait
	// to be taken. Zero means DefaultDrain; a negative value means no wait.
	Drain time.Duration

	// Cut ends the wait of Drain when it is closed: the connections are reset. With nil
	// nothing cuts it short.
	Cut <-chan struct{}
}

// withDefaults returns a complete copy. Keys are for options that have none.
func (o *Options) withDefaults(keys KeyStore) Options {
	var full Options
	if o != nil {
		full = *o
	}
	if full.Protocol == "" {
		full.Protocol = Multiplex
	}
	if full.PoolSize == 0 {
		full.PoolSize = DefaultPoolSize
	}
	if full.Sessions == 0 {
		full.Sessions = DefaultSessions
		if full.TLS != nil {
			full.Sessions = DefaultTLSSessions
		}
	}
	if full.Probe == "" {
		full.Probe = ProbeLocal
	}
	if full.Logger == nil {
		full.Logger = slog.New(slog.DiscardHandler)
	}
	if full.OnRegister == nil {
		full.OnRegister = func(net.Addr) {}
	}
	if full.Keys == nil {
		full.Keys = keys
	}
	if full.Drain == 0 {
		full.Drain = DefaultDrain
	}
	return full
}

// Protocols returns all protocols, the default one first.
func Protocols() (protocols []Protocol) {
	for _, c := range (Options{}).clients() {
		protocols = append(protocols, Protocol(c.Verb().Name))
	}
	return protocols
}

// clients returns the relay client's halves of all protocols.
func (o Options) clients() []protocol.Client {
	return []protocol.Client{
		&multiplex.Client{Sessions: o.Sessions, OnFailure: o.logLostSessions(), OnSettled: o.logSettled},
		pool.Client{Size: o.PoolSize, OnFailure: o.logFailures()},
		&event.Client{OnFailure: o.logFailures()},
	}
}

// client returns the half of o.Protocol. Nothing after that asks which protocol it is.
func (o Options) client() (protocol.Client, error) {
	if o.PoolSize < 1 || o.PoolSize > MaxPoolSize {
		return nil, fmt.Errorf("relay: a pool of %d connections: it can have 1 to %d", o.PoolSize, MaxPoolSize)
	}
	if o.Sessions < 1 || o.Sessions > MaxSessions {
		return nil, fmt.Errorf("relay: %d sessions: there can be 1 to %d", o.Sessions, MaxSessions)
	}
	for _, c := range o.clients() {
		if c.Verb().Name == string(o.Protocol) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("relay: unknown protocol %q: there are %v", o.Protocol, Protocols())
}

// failureLogInterval is how often the log says that a connection for a user could not be
// made, or was refused: there may be many a second.
const failureLogInterval = 10 * time.Second

// lostSessionLogInterval is how often the log says that one session of several failed.
const lostSessionLogInterval = 5 * time.Minute

// logFailures returns a function that logs connections for users that have failed.
func (o Options) logFailures() func(error) {
	often := &rate.Sometimes{First: 1, Interval: failureLogInterval}
	return func(err error) {
		often.Do(func() { o.Logger.Warn("a connection to the relay for a user failed", "error", withAdvice(err)) })
	}
}

// logLostSessions returns a function that logs one session of several that was lost or
// could not be made. A relay that has no room for more is asked every half minute.
func (o Options) logLostSessions() func(error) {
	often := &rate.Sometimes{First: 1, Interval: lostSessionLogInterval}
	return func(err error) {
		often.Do(func() {
			o.Logger.Warn("one of several sessions with the relay failed; the others stand, and it is made anew", "error", withAdvice(err))
		})
	}
}

// logSettled logs that there is one session from now on.
func (o Options) logSettled() {
	o.Logger.Info("further connections come to another relay, as behind a load balancer with several: there is one connection from now on")
}

// preamble returns the preamble of each registration of a process. The lease key is for this relay, the
// name of the tunnel, and the server that it serves.
func (o Options) preamble(relayAddr, serves, instance string) (wire.Preamble, error) {
	if err := policy.CheckName(o.Name); o.Name != "" && err != nil {
		return wire.Preamble{}, fmt.Errorf("relay: name %q: %w", o.Name, err)
	}
	if o.Port < 0 || o.Port > math.MaxUint16 {
		return wire.Preamble{}, fmt.Errorf("relay: public port %d: it can be 1 to 65535", o.Port)
	}
	if o.ProxyProtocol < 0 || o.ProxyProtocol > 2 {
		return wire.Preamble{}, fmt.Errorf("relay: PROXY protocol %d: there are versions 1 and 2", o.ProxyProtocol)
	}
	if o.Probe != ProbeLocal && o.Probe != ProbeSession && o.Probe != ProbeOff {
		return wire.Preamble{}, fmt.Errorf("relay: unknown probe %q: there are local, session and off", o.Probe)
	}
	if o.HealthCheck != nil {
		if err := o.HealthCheck.Validate(); err != nil {
			return wire.Preamble{}, err
		}
	}
	if err := o.checkGroup(); err != nil {
		return wire.Preamble{}, err
	}
	key, err := o.Keys.Key(relayAddr + " " + serves + " " + o.Name)
	if err != nil {
		return wire.Preamble{}, err
	}
	p := wire.Preamble{
		Token: o.Token, Lease: key, Instance: instance, Port: o.Port, Name: o.Name, Proxy: true, Probe: o.Probe != ProbeOff,
		Group: o.Group, Balance: balances[o.Balance],
		Policy: policy.Policy{
			Allow: policy.AllowOnly(o.Allow), Deny: o.Deny,
			Users: o.Users, UsersPerSecond: o.UsersPerSecond, BytesPerSecond: o.BytesPerSecond,
		},
	}
	return p, checkPreamble(p)
}

// checkPreamble returns an error if a relay would not understand p.
func checkPreamble(p wire.Preamble) error {
	if _, err := wire.ParsePreamble(p.Options()); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// PinnedTLS returns settings for Options.TLS that trust a relay whose key has one of these
// pins, and no other. A pin is sha256//... as the relay's log shows it. PinnedTLS returns an
// error if there is no pin, or one that is malformed.
func PinnedTLS(pins ...string) (*tls.Config, error) {
	if len(pins) == 0 {
		return nil, errors.New("relay: there is no pin")
	}
	config, err := certificate.ClientConfig{Pins: pins}.TLS()
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return config, nil
}
