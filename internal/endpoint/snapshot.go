package endpoint

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/roster"
)

// Snapshot is how an endpoint is at a moment.
type Snapshot struct {
	observe.Tunnel // Name and Identity are those of its lease while nobody serves it
	roster.Totals
	Opened  time.Time
	Served  bool
	Since   time.Time // when its relay client came, or left
	Until   time.Time // when the lease of an owner who is away ends; zero without Served is a relay client that is about to be
	Paused  time.Time // since when the operator has users refused; zero is that they are not
	Late    bool      // another program has the port still
	Waiting int
	// RoundTrip is the round trip to the relay client, or 0 if it is not known.
	RoundTrip time.Duration
	Health    Health
	// Members are the relay clients of a group. The health is that of the best of them then,
	// and the round trip the shortest.
	Members []Member
}

// Member is how a relay client of a group is at a moment.
type Member struct {
	Name        string // that it has given itself, or empty
	Protocol    string
	RelayClient net.Addr
	Since       time.Time // when it came
	RoundTrip   time.Duration
	Health      Health
	Users       int // those included whose connections are yet to come
}

// Snapshot returns how the endpoint is.
func (e *Endpoint) Snapshot() Snapshot {
	s := Snapshot{
		Tunnel: observe.Tunnel{ID: e.ID, Port: e.Port}, Totals: e.roster.Totals(), Opened: e.Opened, Since: e.Opened,
		Late: e.Ready != nil && !e.Ready(), Waiting: len(e.waiting),
	}
	if at := e.paused.Load(); at != nil {
		s.Paused = *at
	}
	e.mu.Lock()
	tunnels, left := slices.Clone(e.members.all), e.left
	e.mu.Unlock()
	if len(tunnels) > 0 {
		s.serve(tunnels)
		return s
	}
	if e.Lease != nil {
		is := e.Lease.Lease()
		s.Name, s.Identity, s.Group, s.Until = is.Name, is.Identity, is.Group, is.Until
	}
	if !left.IsZero() {
		s.Since = left
	}
	if !s.Until.IsZero() {
		s.Health = Health{State: observe.Away, Since: s.Since}
	}
	return s
}

// serve has the snapshot say how the tunnels do.
func (s *Snapshot) serve(tunnels []*Tunnel) {
	s.Served = true
	for i, t := range tunnels {
		m := t.member()
		if i == 0 {
			s.Tunnel, s.Since, s.RoundTrip, s.Health = t.about(), t.Since, m.RoundTrip, m.Health
		} else {
			s.RelayClient = nil // there is none that it is of
			if t.Protocol != s.Protocol {
				s.Protocol = mixed
			}
			if worse(s.Health.State, m.Health.State) {
				s.Health = m.Health
			}
			if m.RoundTrip > 0 && (s.RoundTrip == 0 || m.RoundTrip < s.RoundTrip) {
				s.RoundTrip = m.RoundTrip
			}
		}
		if t.Group != "" {
			s.Members = append(s.Members, m)
		}
	}
}

// mixed stands for the protocol where the members of a group have several.
const mixed = "mixed"

// worse reports whether state a is worse than b.
func worse(a, b observe.State) bool {
	order := []observe.State{observe.Up, observe.Unknown, observe.LocalServerDown, observe.Silent, observe.Unreachable}
	return slices.Index(order, a) > slices.Index(order, b)
}

func (t *Tunnel) member() Member {
	m := Member{
		Name: t.Member, Protocol: t.Protocol, RelayClient: t.Addr, Since: t.Since, Health: t.Health(), Users: int(t.load.Load()),
	}
	if timed, ok := t.Session.(protocol.Timed); ok {
		m.RoundTrip = timed.RoundTrip()
	}
	return m
}

// User is a user who is joined.
type User struct {
	ID             uint64
	Endpoint       uint64 // its ID
	Addr           net.Addr
	Since          time.Time
	Received, Sent int64 // so far
}

// Users returns the joined users of an endpoint, or of all if it is 0, the oldest first:
// at most limit. Those of an endpoint that has closed are among them.
func (g *Group) Users(endpoint uint64, limit int) (all []User) {
	for _, e := range g.allKnown() {
		if endpoint != 0 && e.ID != endpoint {
			continue
		}
		for _, u := range e.roster.Users(limit) {
			all = append(all, User{ID: u.ID, Endpoint: e.ID, Addr: u.User.addr, Since: u.User.since, Received: u.Received, Sent: u.Sent})
		}
	}
	slices.SortFunc(all, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return all[:min(len(all), max(limit, 0))]
}

// Totals returns the sums over all endpoints that there were since the start.
func (g *Group) Totals() roster.Totals {
	g.mu.Lock()
	sum, known := g.gone, slices.Collect(maps.Keys(g.known))
	g.mu.Unlock()
	for _, e := range known {
		sum = sum.Plus(e.roster.Totals())
	}
	return sum
}

// allKnown returns the endpoints that are open, or may have users still.
func (g *Group) allKnown() []*Endpoint {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.known))
}
