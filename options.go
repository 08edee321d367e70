package relay

import (
	"crypto/rand"
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

// Protocol is how users reach a relay client. All protocols carry the same
// bytes in the same way; they differ in the connections that they need.
type Protocol string

const (
	// Multiplex carries all users over one connection. It is the default.
	Multiplex Protocol = multiplex.Name
	// Pool keeps connections waiting at the relay, one of which each user
	// gets. A user is served without a round trip to the relay client.
	Pool Protocol = pool.Name
	// Event opens a connection for each user, when the user has come.
	Event Protocol = event.Name
)

// DefaultPoolSize is how many connections a pool keeps waiting.
const DefaultPoolSize = 16

// MaxPoolSize is how many a relay keeps for one relay client.
const MaxPoolSize = pool.MaxSize

// DefaultDrain is how long Forward lets connections finish.
const DefaultDrain = 30 * time.Second

// Options are the settings of Listen and Forward. The zero value, and nil,
// stand for the defaults. They are copied.
type Options struct {
	// Protocol defaults to Multiplex.
	Protocol Protocol

	// PoolSize is how many connections to keep waiting with Pool. Zero means
	// DefaultPoolSize; MaxPoolSize is the most.
	PoolSize int

	// TLS encrypts what goes to the relay, and says how the relay is known; see
	// [PinnedTLS] for relays with a certificate of their own making. It never goes
	// on without. Nil is plain text.
	TLS *tls.Config

	// Token says who this is, to a relay that wants to know. It is a secret.
	Token string

	// TokenSource, if set, is asked for the token before each registration, so that
	// a new one is shown without a restart. It is not called concurrently, and has
	// to be quick. If it fails, which is logged, the token that it gave before is
	// shown, at first Token; if that is empty too, the registration fails.
	TokenSource func() (string, error)

	// Name is what people call the tunnel: up to 64 letters, digits, dots,
	// underscores and hyphens. It shows in the relay's log.
	Name string

	// Port asks for a certain public port; the relay refuses if it cannot be had.
	// Zero takes what the relay gives, and after that the same again.
	Port int

	// Allow and Deny are networks that users may come from, or may not; without
	// any, they may come from everywhere. The relay may be stricter.
	Allow, Deny []netip.Prefix

	// Users is how many there may be at a time, UsersPerSecond how many new ones
	// from one address, and BytesPerSecond what all of them together may move, both
	// ways. Zero is what the relay allows.
	Users, UsersPerSecond int
	BytesPerSecond        int64

	// Keys keeps the key by which the relay knows whose the public port is, so
	// that it stays the same. Nil keeps it in memory: the port then stays the same
	// until the listener is closed, or Forward returns. See [FileKeys].
	Keys KeyStore

	// ProxyProtocol has Forward put a PROXY protocol header of version 1 or 2
	// before the bytes of each user, so that the local server knows who it is. Zero
	// puts none.
	ProxyProtocol int

	// KeepTrying has Forward go on when the relay refuses what it has never granted,
	// for a reason that does not pass by itself: a token that it does not know, a port
	// that somebody else has. Without it Forward returns the *RefusedError. Listen
	// returns the first refusal in any case.
	KeepTrying bool

	// Logger gets what an operator wants to know: the relay lost and found
	// again, a local server that cannot be reached. Nil discards it. It is called where
	// users are served: a handler that waits, for a pipe that nobody reads, say, holds
	// up all of them. So its handler should hand lines on, and drop what is too much.
	Logger *slog.Logger

	// OnRegister, if set, is called after each registration with the public
	// address, which may be another one each time: the first time before Listen
	// returns, later on a goroutine of the listener. Users wait for it. A panic
	// in it is not caught.
	OnRegister func(public net.Addr)

	// Drain is how long Forward lets connections under way finish when its
	// context is done. It does not wait that long for those on which nothing moves: 2
	// seconds, or 10 while bytes wait to be taken. Zero means DefaultDrain, a negative
	// value not at all.
	Drain time.Duration

	// Cut, when it is closed, ends that wait at once. Nil lets it take its time.
	Cut <-chan struct{}
}

// withDefaults gives a copy that is complete.
func (o *Options) withDefaults() Options {
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
	if full.Logger == nil {
		full.Logger = slog.New(slog.DiscardHandler)
	}
	if full.OnRegister == nil {
		full.OnRegister = func(net.Addr) {}
	}
	if full.Keys == nil {
		full.Keys = &memoryKeys{}
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
		&multiplex.Client{},
		pool.Client{Size: o.PoolSize, OnFailure: o.logFailures()},
		&event.Client{OnFailure: o.logFailures()},
	}
}

// client returns the half of o.Protocol. Nothing after that asks which protocol it is.
func (o Options) client() (protocol.Client, error) {
	if o.PoolSize < 1 || o.PoolSize > MaxPoolSize {
		return nil, fmt.Errorf("relay: a pool of %d connections: it can have 1 to %d", o.PoolSize, MaxPoolSize)
	}
	for _, c := range o.clients() {
		if c.Verb().Name == string(o.Protocol) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("relay: unknown protocol %q: there are %v", o.Protocol, Protocols())
}

// failureLogInterval is how often a connection for a user is logged about that could
// not be made, or was refused: there may be many a second.
const failureLogInterval = 10 * time.Second

// logFailures gives what logs connections for users that have failed.
func (o Options) logFailures() func(error) {
	often := &rate.Sometimes{First: 1, Interval: failureLogInterval}
	return func(err error) {
		often.Do(func() { o.Logger.Warn("a connection to the relay for a user failed", "error", withAdvice(err)) })
	}
}

// wishes gives what the relay is told before each registration. The lease key is that
// of the relay, the name of the tunnel, and what it serves.
func (o Options) wishes(relayAddr, serves string) (wire.Preamble, error) {
	if err := policy.CheckName(o.Name); o.Name != "" && err != nil {
		return wire.Preamble{}, fmt.Errorf("relay: name %q: %w", o.Name, err)
	}
	if o.Port < 0 || o.Port > math.MaxUint16 {
		return wire.Preamble{}, fmt.Errorf("relay: public port %d: it can be 1 to 65535", o.Port)
	}
	if o.ProxyProtocol < 0 || o.ProxyProtocol > 2 {
		return wire.Preamble{}, fmt.Errorf("relay: PROXY protocol %d: there are versions 1 and 2", o.ProxyProtocol)
	}
	key, err := o.Keys.Key(relayAddr + " " + serves + " " + o.Name)
	if err != nil {
		return wire.Preamble{}, err
	}
	said := wire.Preamble{
		Token: o.Token, Lease: key, Instance: rand.Text(), Port: o.Port, Name: o.Name, Proxy: true,
		Policy: policy.Policy{
			Allow: policy.AllowOnly(o.Allow), Deny: o.Deny,
			Users: o.Users, UsersPerSecond: o.UsersPerSecond, BytesPerSecond: o.BytesPerSecond,
		},
	}
	return said, checkWishes(said)
}

// checkWishes tells what the relay would not understand.
func checkWishes(said wire.Preamble) error {
	if _, err := wire.ParsePreamble(said.Options()); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// PinnedTLS gives settings for Options.TLS that trust the relay whose key has one
// of these pins, sha256//... as the relay's log has it, and nobody else.
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
