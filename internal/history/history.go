// Package history remembers what has happened to users and requests lately: the last
// connections that ended, the last requests that were refused, and the causes of both over
// an hour. A [History] is a sink of events, of a relay and of a forwarder.
//
// It holds a few megabytes at most, which it allocates as events come. An event itself
// allocates nothing: texts are made when somebody reads.
package history

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
)

// How much is kept. What strangers can cause without being served has places of its own,
// so that none of it pushes out what became of those who were.
const (
	keptJoined     = 10_000 // users who were joined
	keptResets     = 2_000  // users who were not
	keptRefusals   = 1_000  // requests, and bans
	keptHandshakes = 1_000  // connections without a request
)

// History is a sink of events. Make it with New. Its methods may be called concurrently,
// and do not wait for anybody who reads.
type History struct {
	joined, resets       *ring[ended]
	refusals, handshakes *ring[refusal]
	causes               causes
}

var _ observe.Sink = (*History)(nil)

// New returns a History without events.
func New() *History {
	return &History{
		joined: newRing[ended](keptJoined), resets: newRing[ended](keptResets),
		refusals: newRing[refusal](keptRefusals), handshakes: newRing[refusal](keptHandshakes),
		causes: causes{start: time.Now()},
	}
}

// Observe remembers an event, if it is one of those.
func (h *History) Observe(e observe.Event) {
	now := time.Now()
	switch e.Name {
	case observe.UserDone:
		h.joined.add(endedOf(&e, now))
		h.causes.add(now, cause{ends, e.EndedBy, string(e.How)})
	case observe.UserReset:
		h.resets.add(endedOf(&e, now))
		h.causes.add(now, cause{resets, "", string(e.Reason)})
	case observe.RequestRefused, observe.SourceBanned:
		h.refusals.add(refusalOf(&e, now))
		h.causes.add(now, cause{refusals, "", cmp.Or(e.Code, string(e.Reason), string(e.Name))})
	case observe.HandshakeFailed, observe.ProxyHeaderFailed, observe.HandshakesLimited:
		h.handshakes.add(refusalOf(&e, now))
		h.causes.add(now, cause{refusals, "", cmp.Or(string(e.Reason), string(e.Name))})
	}
}

// ended is a user's connection that is over.
type ended struct {
	at               time.Time
	tunnel           uint64
	port             int
	identity, name   string
	user             netip.AddrPort
	waited, duration time.Duration
	received, sent   int64
	endedBy          observe.Party
	how              observe.How
	reason           observe.Reason
	limit            string
	err              error
	joined           bool
}

func endedOf(e *observe.Event, now time.Time) ended {
	return ended{
		at: now, tunnel: e.Tunnel.ID, port: e.Tunnel.Port, identity: e.Tunnel.Identity, name: e.Tunnel.Name, user: conn.AddrPort(e.User),
		waited: cmp.Or(e.Waited, e.DialTime), duration: e.Duration, received: e.Received, sent: e.Sent,
		endedBy: e.EndedBy, how: e.How, reason: e.Reason, limit: e.Limit, err: e.Err, joined: e.Name == observe.UserDone,
	}
}

func (e *ended) api() api.Ended {
	return api.Ended{
		At: e.at.UTC(), Tunnel: api.TunnelID(e.tunnel), Port: e.port, Identity: e.identity, Name: e.name,
		Address: addressText(e.user),
		Joined:  e.joined, WaitedSeconds: e.waited.Seconds(), DurationSeconds: e.duration.Seconds(), Received: e.received, Sent: e.sent,
		EndedBy: string(e.endedBy), How: string(e.how), Reason: string(e.reason), Limit: observe.Identifier(e.limit), Error: errorText(e.err),
	}
}

// Ended returns the last connections that are over, the latest first, of one tunnel or of
// all if it is 0: at most limit.
func (h *History) Ended(tunnel uint64, limit int) []api.Ended {
	collect := func(from *ring[ended]) (all []api.Ended) {
		from.last(func(e *ended) bool {
			if len(all) < limit && (tunnel == 0 || e.tunnel == tunnel) {
				all = append(all, e.api())
			}
			return len(all) < limit
		})
		return all
	}
	return latest(collect(h.joined), collect(h.resets), limit, func(e *api.Ended) time.Time { return e.At })
}

// refusal is what was refused at the control port.
type refusal struct {
	at       time.Time
	event    observe.Name
	source   netip.Prefix
	client   netip.AddrPort
	identity string
	code     string
	reason   observe.Reason
	limit    string
	err      error
}

func refusalOf(e *observe.Event, now time.Time) refusal {
	r := refusal{
		at: now, event: e.Name, source: e.Source, client: conn.AddrPort(e.Tunnel.RelayClient), identity: e.Tunnel.Identity,
		code: e.Code, reason: e.Reason, limit: e.Limit, err: e.Err,
	}
	if !r.client.IsValid() {
		r.client = conn.AddrPort(e.Proxy)
	}
	return r
}

func (r *refusal) api() api.Refusal {
	a := api.Refusal{
		At: r.at.UTC(), Event: string(r.event), Source: addressText(r.client), Identity: r.identity,
		Code: r.code, Reason: cmp.Or(string(r.reason), observe.Identifier(r.limit)), Error: errorText(r.err),
	}
	if a.Source == "" && r.source.IsValid() {
		a.Source = observe.SourceString(r.source)
	}
	return a
}

// Refusals returns the last requests that were refused, the latest first: at most limit.
func (h *History) Refusals(limit int) []api.Refusal {
	collect := func(from *ring[refusal]) (all []api.Refusal) {
		from.last(func(r *refusal) bool {
			if len(all) < limit {
				all = append(all, r.api())
			}
			return len(all) < limit
		})
		return all
	}
	return latest(collect(h.refusals), collect(h.handshakes), limit, func(r *api.Refusal) time.Time { return r.At })
}

// latest returns the items of both, which are in this order already, the latest first: at
// most limit.
func latest[T any](a, b []T, limit int, at func(*T) time.Time) []T {
	all := make([]T, 0, max(0, min(len(a)+len(b), limit)))
	for len(all) < cap(all) {
		from := &a
		if len(a) == 0 || len(b) > 0 && at(&b[0]).After(at(&a[0])) {
			from = &b
		}
		all = append(all, (*from)[0])
		*from = (*from)[1:]
	}
	return all
}

func addressText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
