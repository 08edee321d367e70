package admission

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// Controller has all limiters of a relay, so that limits are asked in one place. Make it
// with NewController, and close it. Its methods may be called concurrently.
type Controller struct {
	limits  atomic.Pointer[Limits]
	proxies atomic.Pointer[[]netip.Prefix] // where private addresses are shared: see Source.IsShared
	events  observe.Sink

	// Counters count what the limiters refuse, and other events.
	Counters Counters
	// Reserve has the descriptors to accept with when no others are left.
	Reserve *Reserve
	// Accounts have what owners use on their public ports.
	Accounts *Accounts
	// Bans are the networks that the operator has banned.
	Bans Bans

	handshakes  *HandshakeLimiter
	headers     *HandshakeLimiter // connections of load balancers that have not named a peer yet
	penalties   *Penalties
	banNotices  *RateLimiter
	repeats     *RepeatDelay
	delayed     BoundedCounter // refusals
	delayedBy   QuotaTable[Source]
	tunnels     QuotaTable[Source]
	networks    QuotaTable[Source] // of the same tunnels
	identities  QuotaTable[string]
	savedLeases *RateLimiter
	exchanges   *RateLimiter
	users       BoundedCounter // of all tunnels
	descriptors *DescriptorBudget
}

// reserved descriptors are for accepting when no others are left: one is enough to turn
// users away, and each further one lets a relay client in.
const reserved = 16

// A banned source that registers is told so at this rate. That costs no more than any
// handshake; at one a second from each source it keeps nobody else's place, and a peer
// that tries now and then finds out.
const (
	banNoticesPerSecond = 1
	banNoticesBurst     = 3
)

// An address without an identity has new leases written to disk at this rate: writing
// costs the relay more than it costs the peer. A lease beyond it lasts until the relay is
// restarted.
const (
	savedLeasesPerSecond = 1
	savedLeasesBurst     = 20
)

// A key exchange of SSH costs the relay half a millisecond of a processor, or four with a key
// of RSA, and a stranger little more than the packets. The burst is for all clients behind one
// address that come back at once; those that come faster wait, and are turned away if that is for
// long.
const (
	exchangesPerSecond = 20
	exchangesBurst     = 200
	maxExchangeDelay   = 3 * time.Second
)

// rateSources is how many sources one RateLimiter tells apart.
const rateSources = 1024

// NewController returns a controller for complete limits (see [Limits.WithDefaults]).
// Proxies are the networks of the trusted load balancers. Events gets the limits that
// handshakes meet, and bans.
func NewController(l Limits, proxies []netip.Prefix, events observe.Sink) *Controller {
	c := &Controller{
		events:      events,
		Reserve:     NewReserve(reserved),
		Accounts:    NewAccounts(l),
		handshakes:  NewHandshakeLimiter(l.Handshakes, l.HandshakesPerSource),
		headers:     NewHandshakeLimiter(l.Handshakes, l.Handshakes),
		penalties:   NewPenalties(l.WrongClaims),
		banNotices:  NewRateLimiter(banNoticesPerSecond, banNoticesBurst, rateSources),
		repeats:     NewRepeatDelay(l.RefusalDelay),
		savedLeases: NewRateLimiter(savedLeasesPerSecond, savedLeasesBurst, rateSources),
		exchanges:   NewRateLimiter(exchangesPerSecond, exchangesBurst, rateSources),
		descriptors: NewDescriptorBudget(l.Descriptors),
	}
	c.limits.Store(&l)
	c.proxies.Store(&proxies)
	return c
}

// Reconfigure has other limits and other proxies hold from now on. A peer that is admitted
// stays so. Of the limits those hold that an operator can set: the others are of tables that
// are made once, or of the process.
func (c *Controller) Reconfigure(l Limits, proxies []netip.Prefix) {
	c.limits.Store(&l)
	c.proxies.Store(&proxies)
	c.Accounts.setUserRate(l)
	c.handshakes.set(l.Handshakes, l.HandshakesPerSource)
	c.headers.set(l.Handshakes, l.Handshakes)
}

// Close stops what runs, and frees the reserve.
func (c *Controller) Close() {
	c.Accounts.Stop()
	c.Reserve.Close()
}

// SourceOf returns the source of a peer, by its address. Named is whether a load
// balancer has given the address: then it is the peer's own, and not shared.
func (c *Controller) SourceOf(peer net.Addr, named bool) Source {
	source := SourceOf(peer)
	if named {
		return source
	}
	return source.MarkShared(*c.proxies.Load())
}

// AllowSavedLease reports whether a new lease of a source without an identity may be
// written to disk.
func (c *Controller) AllowSavedLease(source Source) bool { return c.savedLeases.Allow(source) }

// Usage is what is in use at a moment.
type Usage struct {
	Handshakes  int // connections that have not sent their request yet
	Delayed     int // connections that wait for their refusal
	Users       int
	Descriptors int // of the budget
	// MaxDescriptors is that budget, or math.MaxInt.
	MaxDescriptors int
}

// Usage returns what is in use.
func (c *Controller) Usage() Usage {
	return Usage{
		Handshakes:  c.handshakes.Len() + c.headers.Len(),
		Delayed:     c.delayed.Len(),
		Users:       c.users.Len(),
		Descriptors: c.descriptors.Used(),

		MaxDescriptors: c.descriptors.All(),
	}
}
