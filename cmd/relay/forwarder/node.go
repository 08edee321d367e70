// Package forwarder shows a forwarder to the admin API: as a node with one tunnel for its
// service, as a relay is one with many.
package forwarder

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/history"
	"github.com/seed96252745/relay/internal/observe"
)

// service is the number of the only tunnel.
const service = 1

// Config is what a Node stands on, beside the forwarder.
type Config struct {
	Version string
	// Drain begins a graceful end. It must not wait.
	Drain func()
}

// Node is a forwarder as the admin API sees it. Make it with New.
type Node struct {
	forwarder *relay.Forwarder
	options   relay.Options
	config    Config
	started   time.Time
	history   *history.History
	sinks     []observe.Sink
	met       met
	port      atomic.Int64 // public, of the last registration
}

var _ admin.Node = (*Node)(nil)

// New makes a forwarder, as [relay.NewForwarder] does, and returns the view of it.
// Options.OnEvent is the node's. Sinks get each event; they are appended to with AddSink.
func New(relayAddr, localAddr string, options *relay.Options, c Config) (*Node, error) {
	n := &Node{options: *options, config: c, started: time.Now(), history: history.New()}
	n.options.OnEvent, n.options.Protocol = n.observe, cmp.Or(n.options.Protocol, relay.Multiplex)
	var err error
	n.forwarder, err = relay.NewForwarder(relayAddr, localAddr, &n.options)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// AddSink has a sink get each event. It is called before Run.
func (n *Node) AddSink(s observe.Sink) { n.sinks = append(n.sinks, s) }

// Run runs the forwarder until ctx is done.
func (n *Node) Run(ctx context.Context) error { return n.forwarder.Run(ctx) }

// observe hands an event on to the sinks. The tunnel of a forwarder is known by its number:
// the port may change with each registration, and is for people.
func (n *Node) observe(e relay.TunnelEvent) {
	if public, ok := e.Public.(relay.Addr); ok {
		n.port.Store(int64(public.Port))
	}
	seen := observe.Event{
		Name: observe.Name(e.Name), Level: e.Level, User: e.User,
		Tunnel:   observe.Tunnel{ID: service, Protocol: string(n.options.Protocol), Name: n.options.Name},
		DialTime: e.DialTime, Duration: e.Duration, Received: e.Received, Sent: e.Sent,
		Delayed: e.Delayed, Reset: e.Reset, From: observe.State(e.From), To: observe.State(e.To),
		EndedBy: observe.Party(e.EndedBy), How: observe.How(e.How), Reason: observe.Reason(e.Reason), Limit: e.Limit, Code: e.Code, Err: e.Err,
	}
	n.met.count(&seen)
	kept := seen
	kept.Tunnel.Port = int(n.port.Load())
	n.history.Observe(kept) // first: who is told of an event may ask for it
	for _, s := range n.sinks {
		s.Observe(seen)
	}
}

// Status returns how the forwarder does.
func (n *Node) Status() api.Status {
	s := n.forwarder.State()
	status := api.Status{
		Kind: api.Forwarder, Version: n.config.Version, Started: n.started.UTC(), Now: time.Now().UTC(), Draining: s.Draining,
		Control: s.Relay, Users: s.Users, Waiting: s.Waiting, Connections: s.Connections, Received: s.Received, Sent: s.Sent,
	}
	if s.Registered {
		status.Tunnels = 1
	}
	status.Problems = n.problems(&s)
	return status
}

// Tunnels returns the service.
func (n *Node) Tunnels() []api.Tunnel {
	s := n.forwarder.State()
	t := api.Tunnel{
		ID: api.TunnelID(service), Name: s.Name, Protocol: string(s.Protocol), Local: s.LocalServer.Addr,
		RoundTripSeconds: s.RoundTrip.Seconds(),
		Users:            s.Users, Waiting: s.Waiting, Connections: s.Connections, Received: s.Received, Sent: s.Sent,
	}
	if public, ok := s.Public.(relay.Addr); ok {
		t.Public, t.Port = public.String(), public.Port
	}
	t.State, t.Since, t.Error = stateOf(&s)
	if s.Registered {
		opened := s.Since.UTC()
		t.Opened = &opened
	}
	if l := s.LocalServer; !l.Tried.IsZero() {
		t.Probe = &api.Probe{At: l.Tried.UTC(), OK: l.Err == nil, TookSeconds: l.Took.Seconds(), DialSeconds: l.Took.Seconds(), Error: shortTextOf(l.Err)}
	}
	return []api.Tunnel{t}
}

// stateOf returns how the service does, since when, and why.
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

// Users returns joined users.
func (n *Node) Users(tunnel string, limit int) []api.User {
	all := []api.User{}
	if !isService(cmp.Or(tunnel, api.TunnelID(service))) {
		return all
	}
	for _, u := range n.forwarder.Users(limit) {
		all = append(all, api.User{
			ID: api.UserID(u.ID), Tunnel: api.TunnelID(service), Address: addressOf(u.Addr), Since: u.Since.UTC(), Received: u.Received, Sent: u.Sent,
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

func isService(id string) bool {
	number, ok := api.ParseTunnelID(id)
	return ok && number == service
}

// Ended returns the last connections that are over.
func (n *Node) Ended(tunnel string, limit int) []api.Ended {
	if !isService(cmp.Or(tunnel, api.TunnelID(service))) {
		return []api.Ended{}
	}
	return n.history.Ended(0, limit)
}

// Refusals returns what the relay has refused.
func (n *Node) Refusals(limit int) []api.Refusal { return n.history.Refusals(limit) }

// Causes returns what has ended connections, and what was refused, in the last hour.
func (n *Node) Causes() api.Causes { return n.history.Causes() }

// EndUser resets a user's connection.
func (n *Node) EndUser(id string) error {
	if number, ok := api.ParseUserID(id); !ok || !n.forwarder.EndUser(number) {
		return admin.ErrUnknown
	}
	return nil
}

// Pause has new users reset.
func (n *Node) Pause(id string) error { return n.change(id, n.forwarder.Pause) }

// Resume ends Pause.
func (n *Node) Resume(id string) error { return n.change(id, n.forwarder.Resume) }

func (n *Node) change(id string, do func()) error {
	if !isService(id) {
		return admin.ErrUnknown
	}
	do()
	return nil
}

// CloseTunnel returns an error: the service ends with its process.
func (n *Node) CloseTunnel(id string) error {
	return cmp.Or(n.change(id, func() {}), unsupported("a service ends with its forwarder: shut that down"))
}

// Ban returns an error: a forwarder says with --deny whom it does not want.
func (*Node) Ban(netip.Prefix, time.Duration) error {
	return unsupported("the relay bans sources; a forwarder has --deny")
}

// Unban returns an error: nobody is banned.
func (*Node) Unban(netip.Prefix) error { return unsupported("the relay bans sources") }

// Bans returns none.
func (*Node) Bans() []api.Ban { return []api.Ban{} }

// NewToken returns an error: tokens are the relay's.
func (*Node) NewToken(string) (secret, line string, err error) {
	return "", "", unsupported("tokens are made at the relay")
}

// unsupported returns an admin.ErrUnsupported with what to do instead.
func unsupported(instead string) error { return fmt.Errorf("%w: %s", admin.ErrUnsupported, instead) }

// Reload reads the token again. A forwarder that is not registered tries at once.
func (n *Node) Reload() error { return n.forwarder.Reload() }

// Drain begins a graceful end.
func (n *Node) Drain() { n.config.Drain() }

// LogValue returns what an operator asks for with a signal.
func (n *Node) LogValue() slog.Value {
	t := n.Tunnels()[0]
	attrs := []slog.Attr{
		slog.String("state", string(t.State)), slog.String("since", t.Since.Format(time.RFC3339)),
		slog.Int("users", t.Users), slog.Int("waiting", t.Waiting),
		slog.Int64("connections", t.Connections), slog.Int64("received", t.Received), slog.Int64("sent", t.Sent),
	}
	if t.Error != "" {
		attrs = append(attrs, slog.String("error", t.Error))
	}
	return slog.GroupValue(attrs...)
}
