package relay

import (
	"fmt"
	"log/slog"
	"net"
	"time"

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
	Multiplex Protocol = wire.Multiplex
	// Pool keeps connections waiting at the relay, one of which each user
	// gets. A user is served without a round trip to the relay client.
	Pool Protocol = wire.Pool
	// Event opens a connection for each user, when the user has come.
	Event Protocol = wire.Event
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

	// Logger gets what an operator wants to know: the relay lost and found
	// again, a local server that cannot be reached. Nil discards it.
	Logger *slog.Logger

	// OnRegister, if set, is called after each registration with the public
	// address, which may be another one each time: the first time before Listen
	// returns, later on a goroutine of the listener. Users wait for it.
	OnRegister func(public net.Addr)

	// Drain is how long Forward lets connections under way finish when its
	// context is done. Zero means DefaultDrain, a negative value not at all.
	Drain time.Duration
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
	if full.Drain == 0 {
		full.Drain = DefaultDrain
	}
	return full
}

// client resolves the protocol; nobody asks for it after that.
func (o Options) client() (protocol.Client, error) {
	if o.PoolSize < 1 || o.PoolSize > MaxPoolSize {
		return nil, fmt.Errorf("relay: a pool of %d connections: it can have 1 to %d", o.PoolSize, MaxPoolSize)
	}
	clients := map[Protocol]protocol.Client{
		Multiplex: multiplex.Client{},
		Pool:      pool.Client{Size: o.PoolSize},
		Event:     event.Client{},
	}
	c, ok := clients[o.Protocol]
	if !ok {
		return nil, fmt.Errorf("relay: unknown protocol %q: there are %s, %s and %s", o.Protocol, Multiplex, Pool, Event)
	}
	return c, nil
}
