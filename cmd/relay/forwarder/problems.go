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

// of returns how often a limit was met.
func (m *met) of(limit string) int64 {
	if limit == usersOfTunnel {
		return m.users.Load()
	}
	return m.usersPerSecond.Load()
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

// Limits returns the limits of the process, and those that each service has, of the one that is
// closest to it: all are alike, and none is lent to another.
func (n *Node) Limits() []api.Limit {
	seen := n.look()
	return n.limits(&seen)
}

func (n *Node) limits(seen *look) []api.Limit {
	var own, asked closest
	for i := range seen.states {
		s, o := &seen.states[i], &seen.services[i].now.Load().Options
		for _, l := range s.Limits {
			own.add(api.Limit{Name: l.Name, Max: int64(l.Max), Used: int64(l.Used), Met: l.Met})
		}
		if o.Users > 0 {
			asked.add(api.Limit{Name: usersOfTunnel, Flag: "users", Max: int64(o.Users), Used: int64(s.Users)})
		}
		if o.UsersPerSecond > 0 {
			asked.add(api.Limit{Name: usersPerSecond, Flag: "usersPerSecond", Max: int64(o.UsersPerSecond), Used: -1})
		}
	}
	for i := range own {
		own[i].Met += seen.past.met // there is one of a service's own
	}
	for i := range asked {
		asked[i].Met = n.met.of(asked[i].Name)
	}
	used, most := descriptors()
	all := append([]api.Limit(own), api.Limit{Name: "descriptors", Max: most, Used: used, Met: n.met.descriptors.Load()})
	return append(all, asked...)
}

// closest has of each limit the one of the service that is closest to it. Met is counted over
// all services.
type closest []api.Limit

func (c *closest) add(l api.Limit) {
	for i := range *c {
		has := &(*c)[i]
		if has.Name != l.Name {
			continue
		}
		closer := l.Used*has.Max > has.Used*l.Max
		if l.Used < 0 {
			closer = l.Max < has.Max
		}
		has.Met += l.Met
		if closer {
			has.Max, has.Used = l.Max, l.Used
		}
		return
	}
	*c = append(*c, l)
}

// full is the share of a limit from which on it is a problem, in percent.
const full = 90

// problems returns what an operator has to do something about.
func (n *Node) problems(seen *look) []api.Problem {
	all := []api.Problem{}
	if bugs := n.met.panics.Load(); bugs > 0 {
		all = append(all, api.Problem{Code: "panic", Text: fmt.Sprintf(
			"%d bugs have ended a connection: the log has event=panic with the place; please report it", bugs)})
	}
	for i := range seen.states {
		all = append(all, seen.services[i].problems(&seen.states[i])...)
	}
	for _, l := range n.limits(seen) {
		if l.Name != usersOfTunnel && l.Max > 0 && l.Used*100 >= l.Max*full {
			all = append(all, api.Problem{Code: "limit_near", Text: limitText(l)})
		}
	}
	return all
}

// problems returns what is wrong with the service.
func (s *service) problems(now *relay.ForwarderState) (all []api.Problem) {
	of := func(code string, since time.Time, format string, args ...any) {
		since = since.UTC()
		all = append(all, api.Problem{Code: code, Tunnel: api.TunnelID(s.id), Since: &since, Text: s.label() + fmt.Sprintf(format, args...)})
	}
	if !now.Registered && !now.Draining && now.Err != nil {
		of("not_registered", now.Since, "the relay at %s does not send users here: %s", now.Relay, textOf(now.Err))
	}
	if now.Registered && !now.Draining && now.Err != nil {
		of("not_registered_anew", now.Since, "it serves as before, since it could not register anew: %s", textOf(now.Err))
	}
	if l := &now.LocalServer; l.Err != nil && !now.Draining {
		where := "--localForwardPort"
		if s.label() != "" {
			where = "local"
		}
		of(string(api.LocalServerDown), l.Since, "the local server at %s cannot be reached (%s): start it, or correct %s", l.Addr, shortTextOf(l.Err), where)
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
