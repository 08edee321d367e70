package relay

import (
	"errors"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// ForwarderState is the state of a [Forwarder] at one moment. Numbers are counted from its
// start. What Replace has changed shows when it holds.
type ForwarderState struct {
	Relay    string // its address, as NewForwarder or Replace was given it
	Protocol Protocol
	Name     string // of the tunnel, or empty

	// Registered reports whether the relay sends users here, and Since is when that
	// changed last. Public is the address that users connect to, an [Addr], or the last
	// one, or nil. Err is why the forwarder is not registered, or not as Replace wants it:
	// how the last attempt has failed, perhaps with a *RefusedError, or how the registration
	// was lost. It is nil if there was no attempt yet.
	Registered bool
	Since      time.Time
	Public     net.Addr
	Err        error
	// RoundTrip is how long a packet takes to the relay and back at least, as the kernel has
	// measured it, or zero if it is not known.
	RoundTrip time.Duration

	// Paused is since when users are reset, because of Pause, or zero if they are not.
	Paused time.Time
	// Draining reports that the context of Run is done.
	Draining bool

	LocalServer LocalServer

	Users       int // who are joined with the local server
	Waiting     int // users for whom a connection to the local server is being opened
	Connections int64
	Received    int64 // bytes from users
	Sent        int64 // bytes to users

	Limits []Limit
}

// Limit is a bound of a Forwarder, and what is used of it.
type Limit struct {
	Name string // local_dials: connections to the local server that are being opened
	Max  int
	Used int
	Met  int64 // how often a user had to wait because of it
}

// User is a user who is joined with the local server of a [Forwarder].
type User struct {
	ID             uint64 // that no other user of the forwarder, or of its Engine, has or gets
	Addr           net.Addr
	Since          time.Time
	Received, Sent int64 // bytes from the user and to the user, so far
}

// State returns the state of the forwarder. It does not wait for anybody.
func (f *Forwarder) State() ForwarderState {
	service := f.listener.status.serviceOf(f.listener.wanted())
	s := ForwarderState{
		Relay: service.request.relay, Protocol: service.options.Protocol, Name: service.options.Name,
		Draining: f.draining.Load(), LocalServer: service.backend.local.state(), Waiting: len(f.dials),
	}
	f.listener.status.fill(&s)
	if since := f.paused.Load(); since != nil {
		s.Paused = *since
	}
	totals := f.users.Totals()
	s.Users, s.Connections, s.Received, s.Sent = totals.Users, totals.Connections, totals.Received, totals.Sent
	s.Limits = []Limit{{Name: "local_dials", Max: maxLocalDials, Used: s.Waiting, Met: f.waits.Load()}}
	return s
}

// Users returns at most limit of the users who are joined, those first who came first.
func (f *Forwarder) Users(limit int) []User {
	seen := f.users.Users(limit)
	users := make([]User, len(seen))
	for i, s := range seen {
		users[i] = User{ID: s.ID, Addr: s.User.addr, Since: s.User.since, Received: s.Received, Sent: s.Sent}
	}
	return users
}

// errEnded is why EndUser ends a user.
var errEnded = observe.WithReason(errors.New("relay: ended by EndUser"), observe.EndedByOperator)

// EndUser resets the connections of a user, to the user and to the local server, and reports
// whether there is such a user.
func (f *Forwarder) EndUser(id uint64) bool { return f.users.Stop(id, errEnded) }

// Pause has the forwarder reset all users who come, until Resume. It stays registered, and
// users who are joined go on.
func (f *Forwarder) Pause() {
	now := time.Now()
	if f.paused.CompareAndSwap(nil, &now) {
		f.events.Observe(observe.Event{Name: observe.TunnelPaused})
	}
}

// Resume ends Pause.
func (f *Forwarder) Resume() {
	if f.paused.Swap(nil) != nil {
		f.events.Observe(observe.Event{Name: observe.TunnelResumed})
	}
}

// Reload has a forwarder that is not registered try at once, instead of after a pause. It
// returns the error of Options.TokenSource, if that is set and fails; a forwarder that is
// registered shows a new token with the next registration.
func (f *Forwarder) Reload() error {
	f.listener.retrySoon()
	service := f.listener.wanted()
	if service.options.TokenSource == nil {
		return nil
	}
	_, err := f.listener.askForToken(service, wire.Preamble{})
	return err
}
