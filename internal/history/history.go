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
	"slices"
	"sync"
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
	start time.Time

	mu                   sync.Mutex // guards what follows
	joined, resets       ring[ended]
	refusals, handshakes ring[refusal]
	words                words
	tunnels              tunnels
	causes               causes
}

var _ observe.Sink = (*History)(nil)

// New returns a History without events.
func New() *History {
	return &History{
		start:  time.Now(),
		joined: newRing[ended](keptJoined), resets: newRing[ended](keptResets),
		refusals: newRing[refusal](keptRefusals), handshakes: newRing[refusal](keptHandshakes),
		words: words{numbers: make(map[string]word)}, tunnels: tunnels{numbers: make(map[tunnel]uint32)},
	}
}

// Observe remembers an event, if it is one of those.
func (h *History) Observe(e observe.Event) {
	switch e.Name {
	case observe.UserDone:
		h.addEnded(&h.joined, &e, time.Now(), cause{ends, e.EndedBy, string(e.How)})
	case observe.UserReset:
		h.addEnded(&h.resets, &e, time.Now(), cause{resets, "", string(e.Reason)})
	case observe.RequestRefused, observe.SourceBanned:
		h.addRefusal(&h.refusals, &e, time.Now(), cmp.Or(e.Code, string(e.Reason), string(e.Name)))
	case observe.HandshakeFailed, observe.ProxyHeaderFailed, observe.HandshakesLimited:
		h.addRefusal(&h.handshakes, &e, time.Now(), cmp.Or(string(e.Reason), string(e.Name)))
	}
}

// Ended returns the last connections that are over, the latest first, of one tunnel or of
// all if it is 0: at most limit.
func (h *History) Ended(tunnel uint64, limit int) []api.Ended {
	return latest(h.lastEnded(&h.joined, tunnel, limit), h.lastEnded(&h.resets, tunnel, limit), limit, func(e *api.Ended) time.Time { return e.At })
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
}

// addRefusal remembers what was refused.
func (h *History) addRefusal(r *ring[refusal], e *observe.Event, now time.Time, why string) {
	client := conn.AddrPort(e.Tunnel.RelayClient)
	if !client.IsValid() {
		client = conn.AddrPort(e.Proxy)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	*r.next(e.Err) = refusal{
		at: now, event: e.Name, source: e.Source, client: client, identity: e.Tunnel.Identity,
		code: e.Code, reason: e.Reason, limit: e.Limit,
	}
	h.causes.add(now.Sub(h.start), cause{refusals, "", why})
}

// lastRefusals returns the last refusals of a ring, the latest first: at most limit.
func (h *History) lastRefusals(r *ring[refusal], limit int) (all []api.Refusal) {
	h.mu.Lock()
	end := r.added
	h.mu.Unlock()
	for len(all) < limit {
		h.mu.Lock()
		items, errs, start := r.before(end)
		items, errs = slices.Clone(items), slices.Clone(errs)
		h.mu.Unlock()
		if len(items) == 0 {
			return all
		}
		end = start
		for i := len(items) - 1; i >= 0 && len(all) < limit; i-- {
			all = append(all, items[i].api())
			if errs != nil {
				all[len(all)-1].Error = errorText(errs[i])
			}
		}
	}
	return all
}

func (r *refusal) api() api.Refusal {
	a := api.Refusal{
		At: r.at.UTC(), Event: string(r.event), Source: addressText(r.client), Identity: r.identity,
		Code: r.code, Reason: cmp.Or(string(r.reason), observe.Identifier(r.limit)),
	}
	if a.Source == "" && r.source.IsValid() {
		a.Source = observe.SourceString(r.source)
	}
	return a
}

// Refusals returns the last requests that were refused, the latest first: at most limit.
func (h *History) Refusals(limit int) []api.Refusal {
	return latest(h.lastRefusals(&h.refusals, limit), h.lastRefusals(&h.handshakes, limit), limit, func(r *api.Refusal) time.Time { return r.At })
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
