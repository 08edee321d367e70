package admission

import (
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// How many refusals of wrong tokens are delayed at a time. Further ones are sent at once:
// that costs the relay least, and each that waits is a goroutine and a descriptor.
const (
	maxDelayed          = 64
	maxDelayedPerSource = 8
)

// AdmitHandshake admits a connection to the control port whose request is not read yet.
// A nil slot is that it has to be reset. If the source is banned, the connection may
// only be told so, unless tunnels of the source expect connections: somebody else behind
// the same address must not cut those tunnels off. A ban of the operator's holds for
// everybody. Evict resets the connection.
func (c *Controller) AdmitHandshake(peer net.Addr, source Source, expected int, evict func()) (slot *Slot, banned bool) {
	banned = c.Bans.Has(peer) || expected == 0 && !source.IsShared() && c.penalties.Banned(source) > 0
	if banned {
		c.Counters.Add(ShutOut)
		if !c.banNotices.Allow(source) {
			return nil, true
		}
	}
	var reason Kind
	if source.IsShared() {
		slot, reason = c.handshakes.AdmitShared(evict)
	} else {
		slot, reason = c.handshakes.Admit(source, expected, evict)
	}
	c.reportHandshakeLimit(peer, source, reason)
	return slot, banned
}

// AdmitExchange admits a connection that is about to exchange keys, after a delay. It reports
// false if too many of the source do.
func (c *Controller) AdmitExchange(peer net.Addr, source Source) (delay time.Duration, ok bool) {
	if source.IsShared() {
		return 0, true
	}
	if delay, ok = c.exchanges.Reserve(source, maxExchangeDelay); !ok {
		c.reportHandshakeLimit(peer, source, HandshakesPerSource)
	}
	return delay, ok
}

// AdmitHeader admits a connection of a load balancer that has not sent the PROXY header
// yet. Its slot is among those of other such connections.
func (c *Controller) AdmitHeader(peer net.Addr, source Source, evict func()) *Slot {
	slot, reason := c.headers.AdmitShared(evict)
	c.reportHandshakeLimit(peer, source, reason)
	return slot
}

// reportHandshakeLimit counts the limit that a connection has met, if any, and tells of
// it.
func (c *Controller) reportHandshakeLimit(peer net.Addr, source Source, reason Kind) {
	if reason != 0 {
		c.Counters.Add(reason)
		c.events.Observe(observe.Event{
			Name: observe.HandshakesLimited, Level: slog.LevelWarn, Source: source.Prefix(),
			Tunnel: observe.Tunnel{RelayClient: peer}, Limit: reason.String(),
		})
	}
}

// Penalize counts an offense of a source, which may have the source banned.
func (c *Controller) Penalize(source Source, offense Offense) {
	if source.IsShared() {
		return
	}
	if ban := c.penalties.Penalize(source, offense); ban > 0 {
		c.Counters.Add(SourcesShutOut)
		c.events.Observe(observe.Event{Name: observe.SourceBanned, Level: slog.LevelWarn, Source: source.Prefix(), Duration: ban})
	}
}

// PenalizeToken counts a token that the relay does not know, or that was not shown, and
// returns by how much its refusal is to be delayed. A token that comes again is not a
// guess: it is most often that of a forwarder that nobody has told of the new one.
func (c *Controller) PenalizeToken(source Source, token string) (delay time.Duration) {
	c.Counters.Add(WrongTokens)
	delay, first := c.repeats.Next(token)
	if first {
		c.Penalize(source, WrongToken)
	}
	return delay
}

// MayBeBanned reports whether a peer may be banned, at next to no cost.
func (c *Controller) MayBeBanned(peer net.Addr) bool { return c.penalties.Any() || c.Bans.Has(peer) }

// Banned returns for how much longer a source is banned, and zero if it is not.
func (c *Controller) Banned(source Source) time.Duration { return c.penalties.Banned(source) }

// Ban bans a network for the operator.
func (c *Controller) Ban(source netip.Prefix, d time.Duration) error {
	if err := c.Bans.Add(source, d); err != nil {
		return err
	}
	c.events.Observe(observe.Event{
		Name: observe.SourceBanned, Source: source.Masked(), Duration: d, Reason: observe.BannedByOperator,
	})
	return nil
}

// Unban ends a ban of the operator's, and reports whether there was one.
func (c *Controller) Unban(source netip.Prefix) bool {
	was := c.Bans.Remove(source)
	if was {
		c.events.Observe(observe.Event{Name: observe.SourceUnbanned, Source: source.Masked()})
	}
	return was
}

// AdmitDelayed reports whether a refusal to a source may be delayed. ReleaseDelayed has
// to follow then.
func (c *Controller) AdmitDelayed(source Source) bool {
	if !c.delayed.Acquire(maxDelayed) {
		return false
	}
	if !c.delayedBy.Acquire(source, maxDelayedPerSource) {
		c.delayed.Release()
		return false
	}
	return true
}

// ReleaseDelayed releases what AdmitDelayed took.
func (c *Controller) ReleaseDelayed(source Source) {
	c.delayedBy.Release(source)
	c.delayed.Release()
}
