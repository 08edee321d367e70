package metrics

import (
	"cmp"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
)

// key is what tells tunnels apart: the values of their labels.
type key struct {
	port                  int    // 0 at a forwarder
	name, owner, protocol string // owner is an identity, or at a forwarder the local server
	service               string // at a forwarder
}

// keyOf returns the key of the tunnel of an event. That of a forwarder has neither a port nor an
// identity, and that of a relay no local server.
func keyOf(t *observe.Tunnel) key {
	return key{
		port: t.Port, name: t.Name, owner: cmp.Or(t.Identity, t.Local), protocol: protocolOf(t.Group, t.Protocol), service: t.Service,
	}
}

// protocolOf returns the protocol of a tunnel. The members of a group may have several, and
// what is counted is the group's.
func protocolOf(group, protocol string) string {
	if group != "" && protocol != "" {
		return "group"
	}
	return protocol
}

// count is what is counted of a tunnel, or of all.
type count struct{ connections, received, sent, resets int64 }

// most returns the higher one of each number.
func (c count) most(d count) count {
	return count{max(c.connections, d.connections), max(c.received, d.received), max(c.sent, d.sent), max(c.resets, d.resets)}
}

func (c count) plus(d count) count {
	return count{c.connections + d.connections, c.received + d.received, c.sent + d.sent, c.resets + d.resets}
}

func (c count) minus(d count) count {
	return count{c.connections - d.connections, c.received - d.received, c.sent - d.sent, c.resets - d.resets}
}

// tally is what events have said.
type tally struct{ connections, received, sent, resets atomic.Int64 }

func (t *tally) count() count {
	return count{t.connections.Load(), t.received.Load(), t.sent.Load(), t.resets.Load()}
}

// set has the tally begin with these numbers. Nobody else uses it yet.
func (t *tally) set(c count) {
	t.connections.Store(c.connections)
	t.received.Store(c.received)
	t.sent.Store(c.sent)
	t.resets.Store(c.resets)
}

// place is a tunnel that has series of its own. It outlives the tunnel, so that the last
// of it is seen, until another one needs the place.
type place struct {
	key    key
	labels []*dto.LabelPair // sorted by name
	ended  tally            // by events, of users who have ended

	// What follows is of snapshots, and guarded by tunnels.mu.
	id    string // of the tunnel in snapshots
	base  count  // what the snapshots' numbers are added to
	shown count
	now   *api.Tunnel // nil when there is none
	gone  time.Time   // since when

	state       api.State // that stateLabels have, beside labels
	stateLabels []*dto.LabelPair
}

// keepGone is how long the place of a tunnel that is gone is not given to another. A
// Prometheus has seen its last numbers by then, and takes a series that has been missing
// for five minutes for a new one.
const keepGone = 10 * time.Minute

// table is what events are looked up in. It does not change: another one takes its place.
type table struct {
	byKey  map[key]*place
	byPort map[int]*place // the latest one of each port
}

// of returns the place of the tunnel that an event is of, by its key, or nil. Mostly that is the latest
// one of the port, and nobody has to hash names.
func (t *table) of(k key) *place {
	if p := t.byPort[k.port]; p == nil || p.key == k {
		return p
	}
	return t.byKey[k]
}

// ofPort is of where no more may be known of the tunnel than its port.
func (t *table) ofPort(k key) *place {
	if k.port == 0 {
		return t.byKey[k]
	}
	return t.byPort[k.port]
}

// tunnels are the tunnels that have places. A tunnel that has one keeps it for as long as
// it lives, and is given one when it opens, or once there is one.
type tunnels struct {
	labels func(key) []*dto.LabelPair
	table  atomic.Pointer[table]
	all    tally // of all tunnels

	mu    sync.Mutex // guards what follows, and who replaces table
	most  int
	given count // what was shown of tunnels whose places were given to others
	// lately has what of that was shown at the last scrape. A tunnel that has a place again
	// before the next one goes on from there: its series must not go back.
	lately map[key]count
	now    func() time.Time
}

func newTunnels(most int, labels func(key) []*dto.LabelPair) *tunnels {
	t := &tunnels{most: most, labels: labels, lately: make(map[key]count), now: time.Now}
	t.table.Store(&table{make(map[key]*place), make(map[int]*place)})
	return t
}

// setMost changes how many tunnels have places from now on.
func (t *tunnels) setMost(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.most = n
}

// countJoined, countDone and countReset count for the tunnel first: a reader that reads the
// total first never finds less in the tunnels.

func (t *tunnels) countJoined(e *observe.Event) {
	if p := t.table.Load().of(keyOf(&e.Tunnel)); p != nil {
		p.ended.connections.Add(1)
	}
	t.all.connections.Add(1)
}

func (t *tunnels) countDone(e *observe.Event) {
	if p := t.table.Load().of(keyOf(&e.Tunnel)); p != nil {
		p.ended.received.Add(e.Received)
		p.ended.sent.Add(e.Sent)
	}
	t.all.received.Add(e.Received)
	t.all.sent.Add(e.Sent)
}

// countReset counts a user who was reset before the tunnel was known: there is only the
// port.
func (t *tunnels) countReset(e *observe.Event) {
	if p := t.table.Load().ofPort(keyOf(&e.Tunnel)); p != nil {
		p.ended.resets.Add(1)
	}
	t.all.resets.Add(1)
}

// open gives a tunnel a place if there is one.
func (t *tunnels) open(k key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.openLocked(k); p != nil {
		p.gone = time.Time{} // nobody else may have it, whenever the next snapshot comes
	}
}

// openLocked returns the place of a tunnel, which it gives it if there is one, or else nil.
func (t *tunnels) openLocked(k key) *place {
	old := t.table.Load()
	if p := old.byKey[k]; p != nil {
		return p
	}
	var free *place
	if len(old.byKey) >= t.most {
		if free = t.freeLocked(); free == nil {
			return nil
		}
	}
	next := &table{maps.Clone(old.byKey), maps.Clone(old.byPort)}
	if free != nil {
		t.given = t.given.plus(free.shown)
		t.lately[free.key] = free.shown
		delete(next.byKey, free.key)
		if next.byPort[free.key.port] == free {
			delete(next.byPort, free.key.port)
		}
	}
	p := &place{key: k, labels: t.labels(k), shown: t.lately[k]}
	p.ended.set(p.shown)
	t.given = t.given.minus(p.shown)
	delete(t.lately, k)
	next.byKey[k], next.byPort[k.port] = p, p
	t.table.Store(next)
	return p
}

// freeLocked returns the place of the tunnel that has been gone for longest, or nil if none
// has been gone for long enough.
func (t *tunnels) freeLocked() *place {
	var longest *place
	for _, p := range t.table.Load().byKey {
		if !p.gone.IsZero() && (longest == nil || p.gone.Before(longest.gone)) {
			longest = p
		}
	}
	if longest == nil || t.now().Sub(longest.gone) < keepGone {
		return nil
	}
	return longest
}

// findLocked returns the place that a tunnel in a snapshot has, or nil. One that nobody
// serves, as a lease that is away, has no protocol: it has the place of its last tunnel.
func (t *tunnels) findLocked(k key) *place {
	in := t.table.Load()
	if p := in.byKey[k]; p != nil || k.protocol != "" {
		return p
	}
	if p := in.byPort[k.port]; p != nil && p.key.name == k.name && p.key.owner == k.owner {
		return p
	}
	return nil
}

// last is what a snapshot had of a tunnel, and its place, or nil.
type last struct {
	count
	place *place
}

// others is what tunnels without places have now.
type others struct{ users, waiting int }

// update records a snapshot, and calls show for each place while it holds the lock. It
// returns what all places together have counted, those included that were given to others.
// Before has what the last snapshot had of each tunnel, by its ID, and is updated.
func (t *tunnels) update(snapshot []api.Tunnel, before map[string]last, keyOf func(*api.Tunnel) key, show func(*place)) (counted count, rest others) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen, without := t.placeLocked(snapshot, before, keyOf)
	for _, of := range without {
		rest.users += of.Users
		rest.waiting += of.Waiting
	}
	clear(before)
	for i := range snapshot {
		before[snapshot[i].ID] = last{count: countOf(&snapshot[i])}
	}
	for p := range seen {
		before[p.id] = last{countOf(p.now), p}
	}
	counted = t.given
	for _, p := range t.table.Load().byKey {
		if !seen[p] {
			p.missed(t.now())
		}
		counted = counted.plus(p.shown)
		show(p)
	}
	clear(t.lately)
	return counted, rest
}

// placeLocked records the tunnels of a snapshot, and returns the places of those that have
// one, and the others. Those that have a place by now come first: it is theirs to keep.
func (t *tunnels) placeLocked(snapshot []api.Tunnel, before map[string]last, keyOf func(*api.Tunnel) key) (seen map[*place]bool, without []*api.Tunnel) {
	seen = make(map[*place]bool, len(snapshot))
	record := func(p *place, of *api.Tunnel) bool {
		if p == nil || seen[p] {
			return false
		}
		was, known := before[of.ID]
		moved := known && was.place != p
		if q := was.place; moved && q != nil { // those who came to it since are not p's
			shown := q.shown
			q.show(count{})
			was.count = was.plus(q.shown.minus(shown))
		}
		p.seen(of, was.count, moved)
		seen[p] = true
		return true
	}
	var candidates []*api.Tunnel
	for i := range snapshot {
		of := &snapshot[i]
		switch {
		case record(t.findLocked(keyOf(of)), of):
		case keyOf(of).protocol == "": // nobody has served it since the start, or does yet
			without = append(without, of)
		default:
			candidates = append(candidates, of)
		}
	}
	for i, of := range candidates {
		p := t.openLocked(keyOf(of))
		if p == nil { // and so it is for those that follow
			return seen, append(without, candidates[i:]...)
		}
		if !record(p, of) {
			without = append(without, of)
		}
	}
	return seen, without
}

// seen records what a snapshot has of a tunnel. Before is what the last snapshot had of it,
// and moved whether it had that in another place: a port keeps its ID and its numbers when
// it is served over another protocol.
func (p *place) seen(of *api.Tunnel, before count, moved bool) {
	if p.id != of.ID || moved {
		p.id, p.base = of.ID, p.shown.minus(before)
	}
	p.now, p.gone = of, time.Time{}
	p.show(countOf(of))
}

// show works out what is shown. It is never less than before: a snapshot may be a little
// older than what was shown last.
func (p *place) show(now count) {
	p.shown = p.shown.most(p.base.plus(now)).most(p.ended.count())
}

// missed records that a snapshot does not have the tunnel.
func (p *place) missed(at time.Time) {
	if p.gone.IsZero() {
		p.now, p.gone = nil, at
	}
	p.show(count{})
}

func countOf(t *api.Tunnel) count {
	return count{connections: t.Connections, received: t.Received, sent: t.Sent}
}
