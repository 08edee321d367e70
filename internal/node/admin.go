package node

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/history"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/server"
)

// AdminConfig is what an Admin stands on.
type AdminConfig struct {
	Server *server.Server
	// History is a sink of that server.
	History *history.History
	// About has what of the status changes with the configuration alone: see SetAbout.
	About api.Status
	// Host is where users reach the public ports. Empty is that it is not known.
	Host string
	// Problems returns what the caller knows to be wrong beside what the server does. Nil is
	// nothing.
	Problems func() []api.Problem
	// LinesDropped returns how many lines of the log are missing. Nil is none.
	LinesDropped func() int64
	// Reload reads again what is read again with SIGHUP. Nil is that there is nothing.
	Reload func() error
	// Drain begins a graceful end. It must not wait.
	Drain func()
	// NewToken adds a token of that name to the tokens file. Nil is that there is no file.
	NewToken func(name string) (secret, line string, err error)
}

// Admin is a relay as the admin API sees it. Make it with NewAdmin.
type Admin struct {
	config AdminConfig
	about  atomic.Pointer[api.Status]

	mu    sync.Mutex // guards what follows
	rises map[string]rise
}

var _ admin.Node = (*Admin)(nil)

// NewAdmin returns the view of a relay.
func NewAdmin(c AdminConfig) *Admin {
	a := &Admin{config: c, rises: make(map[string]rise)}
	a.SetAbout(c.About)
	return a
}

// SetAbout has Status return other facts of the configuration from now on.
func (a *Admin) SetAbout(about api.Status) { a.about.Store(&about) }

// Status returns how the relay does.
func (a *Admin) Status() api.Status {
	s, endpoints, totals := *a.about.Load(), a.config.Server.Endpoints(), a.config.Server.Totals()
	s.Kind, s.Now, s.Draining = api.Relay, time.Now().UTC(), a.config.Server.Draining()
	for i := range endpoints {
		switch e := &endpoints[i]; {
		case e.Served:
			s.Tunnels++
		case !e.Until.IsZero():
			s.Away++
		}
	}
	s.Waiting = a.config.Server.State().Waiting
	s.Users, s.Connections, s.Received, s.Sent = totals.Users, totals.Connections, totals.Received, totals.Sent
	s.Problems = a.problems(endpoints)
	return s
}

// Tunnels returns all open public ports.
func (a *Admin) Tunnels() []api.Tunnel {
	endpoints := a.config.Server.Endpoints()
	all := make([]api.Tunnel, 0, len(endpoints))
	for i := range endpoints {
		all = append(all, a.tunnel(&endpoints[i]))
	}
	return all
}

func (a *Admin) tunnel(e *endpoint.Snapshot) api.Tunnel {
	t := api.Tunnel{
		ID: api.TunnelID(e.ID), Port: e.Port, Name: e.Name, Identity: e.Identity, Protocol: e.Protocol,
		Opened: at(e.Opened), Until: at(e.Until), RoundTripSeconds: e.RoundTrip.Seconds(),
		Users: e.Users, Waiting: e.Waiting, Connections: e.Connections, Received: e.Received, Sent: e.Sent,
	}
	if a.config.Host != "" {
		t.Public = net.JoinHostPort(a.config.Host, strconv.Itoa(e.Port))
	}
	if e.RelayClient != nil {
		t.RelayClient = e.RelayClient.String()
	}
	t.State, t.Since, t.Error = stateOf(e)
	t.Group, t.Members = e.Group, membersOf(e)
	if p := e.Health.Probe; p != nil {
		t.Probe = &api.Probe{
			At: p.At.UTC(), OK: p.Failure == "", TookSeconds: p.Took.Seconds(), DialSeconds: p.Dial.Seconds(), Error: p.Failure,
		}
	}
	return t
}

// membersOf returns the members of a group.
func membersOf(e *endpoint.Snapshot) (all []api.Member) {
	for i := range e.Members {
		m := &e.Members[i]
		is := api.Member{
			Name: m.Name, Protocol: m.Protocol, State: api.State(m.Health.State), Since: m.Health.Since.UTC(), Error: m.Health.Failure,
			RoundTripSeconds: m.RoundTrip.Seconds(), Users: m.Users,
		}
		if m.RelayClient != nil {
			is.RelayClient = m.RelayClient.String()
		}
		all = append(all, is)
	}
	return all
}

// stateOf returns how a tunnel does, since when, and why.
func stateOf(e *endpoint.Snapshot) (state api.State, since time.Time, failure string) {
	state, since, failure = api.State(e.Health.State), e.Health.Since, e.Health.Failure
	switch {
	case !e.Paused.IsZero():
		state, since = api.Paused, e.Paused
	case !e.Served && e.Until.IsZero():
		state = api.Connecting
	case state == "":
		state = api.Unknown
	}
	if since.IsZero() {
		since = e.Since
	}
	return state, since.UTC(), failure
}

// at returns a time, or nil if it is zero.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Users returns joined users of one tunnel, or of all.
func (a *Admin) Users(tunnel string, limit int) []api.User {
	of, ok := parseTunnel(tunnel)
	if !ok {
		return []api.User{}
	}
	users := a.config.Server.Users(of, limit)
	all := make([]api.User, 0, len(users))
	for _, u := range users {
		all = append(all, api.User{
			ID: api.UserID(u.ID), Tunnel: api.TunnelID(u.Endpoint), Address: u.Addr.String(), Since: u.Since.UTC(), Received: u.Received, Sent: u.Sent,
		})
	}
	return all
}

// Ended returns the last connections that are over.
func (a *Admin) Ended(tunnel string, limit int) []api.Ended {
	of, ok := parseTunnel(tunnel)
	if !ok {
		return []api.Ended{}
	}
	return a.config.History.Ended(of, limit)
}

// parseTunnel returns the number of a tunnel, which is 0 for all.
func parseTunnel(id string) (n uint64, ok bool) {
	if id == "" {
		return 0, true
	}
	return api.ParseTunnelID(id)
}

// Refusals returns the last refusals.
func (a *Admin) Refusals(limit int) []api.Refusal { return a.config.History.Refusals(limit) }

// Causes returns what has ended connections and requests in the last hour.
func (a *Admin) Causes() api.Causes { return a.config.History.Causes() }

// flags are those of the command that set limits.
var flags = map[string]string{
	"users": "maxUsers", "users_per_source": "maxUsersPerSource", "users_per_second": "maxUsersPerSecond",
	"user_wait_seconds": "userWait", "tunnels_per_source": "maxTunnelsPerSource", "tunnels_per_network": "maxTunnelsPerNetwork",
	"handshakes": "maxHandshakes", "handshakes_per_source": "maxHandshakesPerSource", "handshake_timeout_seconds": "handshakeTimeout",
}

// Limits returns all limits.
func (a *Admin) Limits() []api.Limit {
	limits := a.config.Server.Limits()
	all := make([]api.Limit, 0, len(limits))
	for _, l := range limits {
		all = append(all, api.Limit{Name: l.Name, Flag: flags[l.Name], Max: l.Max, Used: l.Used, Met: l.Met})
	}
	return all
}

// EndUser resets a user's connection.
func (a *Admin) EndUser(id string) error { return known(id, api.ParseUserID, a.config.Server.EndUser) }

// CloseTunnel ends a tunnel, its lease and its users.
func (a *Admin) CloseTunnel(id string) error {
	return known(id, api.ParseTunnelID, a.config.Server.CloseEndpoint)
}

// Pause has the new users of a tunnel reset.
func (a *Admin) Pause(id string) error {
	return known(id, api.ParseTunnelID, a.config.Server.PauseEndpoint)
}

// Resume ends Pause.
func (a *Admin) Resume(id string) error {
	return known(id, api.ParseTunnelID, a.config.Server.ResumeEndpoint)
}

// known calls do with the number of an identifier. It returns admin.ErrUnknown if it is
// none, or do reports that there is nothing with this number.
func known(id string, parse func(string) (uint64, bool), do func(uint64) bool) error {
	if n, ok := parse(id); !ok || !do(n) {
		return admin.ErrUnknown
	}
	return nil
}

// Ban shuts a source out.
func (a *Admin) Ban(source netip.Prefix, d time.Duration) error {
	return a.config.Server.Ban(source, d)
}

// Unban ends a ban.
func (a *Admin) Unban(source netip.Prefix) error {
	if !a.config.Server.Unban(source) {
		return admin.ErrUnknown
	}
	return nil
}

// Bans returns the sources that the operator has shut out.
func (a *Admin) Bans() []api.Ban {
	all := []api.Ban{}
	for _, b := range a.config.Server.Bans() {
		all = append(all, api.Ban{Source: observe.SourceString(b.Source), Until: b.Until.UTC()})
	}
	return all
}

// NewToken adds a token to the tokens file.
func (a *Admin) NewToken(name string) (secret, line string, err error) {
	if a.config.NewToken == nil {
		return "", "", fmt.Errorf("%w: it has no tokens file; start it with --tokens for one", admin.ErrUnsupported)
	}
	return a.config.NewToken(name)
}

// Reload reads again what can be.
func (a *Admin) Reload() error {
	if a.config.Reload == nil {
		return fmt.Errorf("%w: it has no tokens file that could be read again; start it with --config, and its settings can be", admin.ErrUnsupported)
	}
	return a.config.Reload()
}

// Drain begins a graceful end.
func (a *Admin) Drain() { a.config.Drain() }
