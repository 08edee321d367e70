package forwarder

import (
	"cmp"
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/observe"
)

// Service is a server to put online.
type Service struct {
	Name         string // its key in the file, or "" from the command line
	Relay, Local string // addresses
	// Settings is a text of all that is set. A service with the same text is not touched when
	// others change.
	Settings string
	// Options are the service's. OnEvent and Engine are the node's.
	Options relay.Options
}

// service is a service of a node.
type service struct {
	id        uint64 // of its tunnel
	node      *Node
	forwarder *relay.Forwarder
	now       atomic.Pointer[current]
	port      atomic.Int64 // public, of the last registration

	// What follows is guarded by Node.mu.

	end  context.CancelFunc // of its Run; nil before that
	gone bool               // it drains, and is no more then
}

// current is what a service is at present.
type current struct {
	Service
	tunnel observe.Tunnel
}

// newService returns a service that does nothing before it is run.
func (n *Node) newService(id uint64, c Service) (*service, error) {
	s := &service{id: id, node: n}
	s.note(c)
	options := c.Options
	options.Engine, options.OnEvent = n.engine, s.observe
	options.OnRegister = func(public net.Addr) {
		if tell := s.now.Load().Options.OnRegister; tell != nil {
			tell(public)
		}
	}
	var err error
	s.forwarder, err = relay.NewForwarder(c.Relay, c.Local, &options)
	return s, err
}

// note has c be what the service is from now on.
func (s *service) note(c Service) {
	s.now.Store(&current{c, observe.Tunnel{
		ID: s.id, Service: c.Name, Local: c.Local, Protocol: string(cmp.Or(c.Options.Protocol, relay.Multiplex)), Name: c.Options.Name,
	}})
}

// replace has the service go on as c. Users who are joined go on, and those who come find it as
// it was until the relay has granted what it is now.
func (s *service) replace(c Service) error {
	before := s.now.Load()
	s.note(c) // first: there may be an event at once
	err := s.forwarder.Replace(c.Relay, c.Local, &c.Options)
	if err != nil {
		s.now.Store(before)
	}
	return err
}

// observe hands an event on to the sinks. The tunnel of a forwarder is known by its number:
// the port may change with each registration, and is for people.
func (s *service) observe(e relay.TunnelEvent) {
	port := int(s.port.Load())
	if public, ok := e.Public.(relay.Addr); ok {
		port = public.Port
		if observe.Name(e.Name) == observe.TunnelOpened { // the previous one may end after that
			s.port.Store(int64(port))
		}
	}
	seen := observe.Event{
		Name: observe.Name(e.Name), Level: e.Level, User: e.User, Tunnel: s.now.Load().tunnel,
		DialTime: e.DialTime, Duration: e.Duration, Received: e.Received, Sent: e.Sent,
		Delayed: e.Delayed, Reset: e.Reset, From: observe.State(e.From), To: observe.State(e.To),
		EndedBy: observe.Party(e.EndedBy), How: observe.How(e.How), Reason: observe.Reason(e.Reason), Limit: e.Limit, Code: e.Code, Err: e.Err,
	}
	n := s.node
	n.met.count(&seen)
	kept := seen
	kept.Tunnel.Port = port
	n.history.Observe(kept) // first: who is told of an event may ask for it
	for _, sink := range n.sinks {
		sink.Observe(seen)
	}
}

// label returns what people call the service, before a colon and a space, or "" if it has no
// name.
func (s *service) label() string {
	if name := s.now.Load().Name; name != "" {
		return name + ": "
	}
	return ""
}

// tunnel returns the service as the API shows it.
func (s *service) tunnel() api.Tunnel {
	now := s.forwarder.State()
	t := api.Tunnel{
		ID: api.TunnelID(s.id), Service: s.now.Load().Name, Name: now.Name, Protocol: string(now.Protocol), Local: now.LocalServer.Addr,
		RoundTripSeconds: now.RoundTrip.Seconds(),
		Users:            now.Users, Waiting: now.Waiting, Connections: now.Connections, Received: now.Received, Sent: now.Sent,
	}
	if public, ok := now.Public.(relay.Addr); ok {
		t.Public, t.Port = public.String(), public.Port
	}
	t.State, t.Since, t.Error = stateOf(&now)
	if now.Registered {
		opened := now.Since.UTC()
		t.Opened = &opened
	}
	if l := now.LocalServer; !l.Tried.IsZero() {
		t.Probe = &api.Probe{At: l.Tried.UTC(), OK: l.Err == nil, TookSeconds: l.Took.Seconds(), DialSeconds: l.Took.Seconds(), Error: shortTextOf(l.Err)}
	}
	return t
}

// stateOf returns how a service does, since when, and why.
func stateOf(s *relay.ForwarderState) (state api.State, since time.Time, failure string) {
	local := &s.LocalServer
	switch {
	case s.Draining:
		state, since = api.Away, s.Since
	case !s.Paused.IsZero():
		state, since = api.Paused, s.Paused
	case !s.Registered:
		state, since, failure = api.Connecting, s.Since, shortTextOf(s.Err)
	case local.Tried.IsZero():
		state, since = api.Unknown, s.Since
	case local.Err != nil:
		state, since, failure = api.LocalServerDown, local.Since, shortTextOf(local.Err)
	default:
		state, since = api.Up, local.Since
		if s.Since.After(since) {
			since = s.Since
		}
	}
	return state, since.UTC(), failure
}

// users returns at most limit of the joined users.
func (s *service) users(limit int) []api.User {
	var all []api.User
	for _, u := range s.forwarder.Users(limit) {
		all = append(all, api.User{
			ID: api.UserID(u.ID), Tunnel: api.TunnelID(s.id), Address: addressOf(u.Addr), Since: u.Since.UTC(), Received: u.Received, Sent: u.Sent,
		})
	}
	return all
}

func addressOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// find returns the service with a tunnel ID.
func (n *Node) find(id string) (*service, error) {
	number, ok := api.ParseTunnelID(id)
	if ok {
		for _, s := range n.all() {
			if s.id == number {
				return s, nil
			}
		}
	}
	return nil, admin.ErrUnknown
}
