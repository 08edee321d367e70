package forwarder

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/sockerr"
)

// The limits that a forwarder asks of the relay, which tells it how many users have met them.
const (
	usersOfTunnel  = "users_of_tunnel"
	usersPerSecond = "users_per_second_of_tunnel"
)

// met counts what events say of limits, and of bugs. It may be used concurrently.
type met struct {
	users, usersPerSecond, descriptors, panics atomic.Int64
}

func (m *met) count(e *observe.Event) {
	switch {
	case e.Name == observe.Panicked:
		m.panics.Add(1)
	case e.Name == observe.UsersLimited && e.Limit == usersOfTunnel:
		m.users.Add(e.Delayed + e.Reset)
	case e.Name == observe.UsersLimited && e.Limit == usersPerSecond:
		m.usersPerSecond.Add(e.Delayed + e.Reset)
	case e.Name == observe.UserReset && sockerr.Is(e.Err, syscall.EMFILE, syscall.ENFILE):
		m.descriptors.Add(1)
	}
}

// Limits returns the limits of the forwarder, and those that it has asked of the relay.
func (n *Node) Limits() []api.Limit {
	s := n.forwarder.State()
	return n.limits(&s)
}

func (n *Node) limits(s *relay.ForwarderState) []api.Limit {
	var all []api.Limit
	for _, l := range s.Limits {
		all = append(all, api.Limit{Name: l.Name, Max: int64(l.Max), Used: int64(l.Used), Met: l.Met})
	}
	used, most := descriptors()
	all = append(all, api.Limit{Name: "descriptors", Max: most, Used: used, Met: n.met.descriptors.Load()})
	if most := n.options.Users; most > 0 {
		all = append(all, api.Limit{Name: usersOfTunnel, Flag: "users", Max: int64(most), Used: int64(s.Users), Met: n.met.users.Load()})
	}
	if most := n.options.UsersPerSecond; most > 0 {
		all = append(all, api.Limit{
			Name: usersPerSecond, Flag: "usersPerSecond", Max: int64(most), Used: -1, Met: n.met.usersPerSecond.Load(),
		})
	}
	return all
}

// full is the share of a limit from which on it is a problem, in percent.
const full = 90

// problems returns what an operator has to do something about.
func (n *Node) problems(s *relay.ForwarderState) []api.Problem {
	all := []api.Problem{}
	if bugs := n.met.panics.Load(); bugs > 0 {
		all = append(all, api.Problem{Code: "panic", Text: fmt.Sprintf(
			"%d bugs have ended a connection: the log has event=panic with the place; please report it", bugs)})
	}
	of := func(code string, since time.Time, format string, args ...any) {
		since = since.UTC()
		all = append(all, api.Problem{Code: code, Tunnel: api.TunnelID(service), Since: &since, Text: fmt.Sprintf(format, args...)})
	}
	if !s.Registered && !s.Draining && s.Err != nil {
		of("not_registered", s.Since, "the relay at %s does not send users here: %s", s.Relay, textOf(s.Err))
	}
	if l := &s.LocalServer; l.Err != nil {
		of(string(api.LocalServerDown), l.Since, "the local server at %s cannot be reached (%s): start it, or correct --localForwardPort", l.Addr, shortTextOf(l.Err))
	}
	for _, l := range n.limits(s) {
		if l.Name != usersOfTunnel && l.Max > 0 && l.Used*100 >= l.Max*full {
			all = append(all, api.Problem{Code: "limit_near", Text: limitText(l)})
		}
	}
	return all
}

func limitText(l api.Limit) string {
	text := fmt.Sprintf("%d of at most %d %s are used: ", l.Used, l.Max, l.Name)
	if l.Name == "descriptors" {
		return text + "raise the limit of open files (ulimit -n, or LimitNOFILE= under systemd)"
	}
	return text + "the local server takes long to accept"
}

// textOf returns the text of an error, without what the library's errors begin with.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return auth.Conceal(strings.TrimPrefix(err.Error(), "relay: "))
}

// shortTextOf returns what the system says, where an error has more around it: which call
// and which address has failed, and what may help.
func shortTextOf(err error) string {
	var refused *relay.RefusedError
	var system syscall.Errno
	switch {
	case errors.As(err, &refused):
		return auth.Conceal(refused.Text + " (" + refused.Code + ")")
	case errors.As(err, &system):
		return system.Error()
	}
	return textOf(err)
}
