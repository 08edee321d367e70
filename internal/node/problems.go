package node

import (
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/endpoint"
)

// lastShare is the share of a limit, one of so many, that is left when it becomes a problem: there
// is time to do something about it.
const lastShare = 10

// maxTold bounds the tunnels that are told of one by one.
const maxTold = 100

// problems returns what an operator has to do something about.
func (a *Admin) problems(endpoints []endpoint.Snapshot) []api.Problem {
	all := []api.Problem{}
	if a.config.Problems != nil {
		all = append(all, a.config.Problems()...)
	}
	all = append(all, a.counted()...)
	all = append(all, a.leases()...)
	for _, l := range a.Limits() {
		if isNear(l) {
			all = append(all, api.Problem{Code: "limit_near", Text: limitText(l)})
		}
	}
	down := 0
	for i := range endpoints {
		for _, p := range problemsOf(&endpoints[i]) {
			if down++; down <= maxTold {
				all = append(all, p)
			}
		}
	}
	if down > maxTold {
		all = append(all, api.Problem{Code: "tunnels_down", Text: fmt.Sprintf("and %d more tunnels are down: see relay status, or the page", down-maxTold)})
	}
	return all
}

// isNear reports whether a limit is about to be met. Users meet that of descriptors before
// all are used.
func isNear(l api.Limit) bool {
	if l.Name == "descriptors" && l.Max > 0 {
		l.Max = admission.DescriptorsForUsers(l.Max)
	}
	return l.Max > 0 && l.Used >= l.Max-l.Max/lastShare
}

func limitText(l api.Limit) string {
	text := fmt.Sprintf("%d of at most %d %s are used", l.Used, l.Max, l.Name)
	switch {
	case l.Name == "descriptors":
		return text + ": raise the limit of open files (ulimit -n, or LimitNOFILE= under systemd)"
	case l.Flag != "":
		return text + ": raise --" + l.Flag + ", or find out who uses so many"
	}
	return text
}

// leases returns what keeps owners from having their ports back.
func (a *Admin) leases() (all []api.Problem) {
	t := a.config.Server.LeaseTrouble()
	if t.Err != nil {
		all = append(all, api.Problem{Code: "leases_not_saved", Since: at(t.Since), Text: fmt.Sprintf(
			"leases cannot be saved, and are lost when the relay is started again: look at the disk of the state directory (%v)", t.Err)})
	}
	if len(t.Closed) > 0 {
		all = append(all, api.Problem{Code: "leased_ports_closed", Text: fmt.Sprintf(
			"%d leased ports could not be opened when the relay was started, the first is %d: the log says why; start it as before", len(t.Closed), t.Closed[0])})
	}
	return all
}

// counted returns the problems that counters show.
func (a *Admin) counted() (all []api.Problem) {
	counters := a.config.Server.State().Counters
	if n := counters.Of(admission.Panics); n > 0 {
		all = append(all, api.Problem{Code: "panic", Text: fmt.Sprintf(
			"%d bugs have ended a connection or a tunnel: the log has event=panic with the place; please report it", n)})
	}
	dropped := int64(0)
	if a.config.LinesDropped != nil {
		dropped = a.config.LinesDropped()
	}
	for _, c := range []struct {
		code, text string // of a format with the count
		n          int64
	}{
		{"shortage", "%d connections could not be accepted for want of descriptors or memory: raise the limit of open files (ulimit -n, or LimitNOFILE= under systemd)", counters.Of(admission.Shortages)},
		{"log_lines_dropped", "%d lines of the log are missing, as its reader is too slow, or has gone: look at what reads standard error", dropped},
	} {
		if since, is := a.hasRisen(c.code, c.n); is {
			all = append(all, api.Problem{Code: c.code, Text: fmt.Sprintf(c.text, c.n), Since: at(since)})
		}
	}
	return all
}

// rise is when a counter was seen to have risen.
type rise struct {
	count       int64
	first, last time.Time // of those that were not far apart
}

// passes is for how long a counter that rises no more is a problem.
const passes = time.Hour

// hasRisen reports whether a counter has risen lately, and since when.
func (a *Admin) hasRisen(code string, n int64) (since time.Time, is bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, now := a.rises[code], time.Now()
	if n > r.count {
		if now.Sub(r.last) > passes {
			r.first = now
		}
		r.count, r.last = n, now
		a.rises[code] = r
	}
	return r.first, !r.last.IsZero() && now.Sub(r.last) <= passes
}

// problemsOf returns what is wrong with a tunnel: with all of it, or else with members of its
// group, for which others stand in.
func problemsOf(e *endpoint.Snapshot) (all []api.Problem) {
	if p, is := problemOf(e); is {
		return []api.Problem{p}
	}
	for i := range e.Members {
		m := &e.Members[i]
		who := fmt.Sprintf("%s, member at %v", nameOf(e), m.RelayClient)
		if m.Name != "" {
			who += " (" + m.Name + ")"
		}
		since := m.Health.Since.UTC()
		state := api.State(m.Health.State)
		if text, is := trouble(state, who, m.Health.Failure); is {
			all = append(all, api.Problem{Code: string(state), Tunnel: api.TunnelID(e.ID), Since: &since, Text: text + "; the others of the group serve its users meanwhile"})
		}
	}
	return all
}

// problemOf returns what is wrong with a tunnel, and whether something is.
func problemOf(e *endpoint.Snapshot) (p api.Problem, is bool) {
	state, since, failure := stateOf(e)
	p = api.Problem{Tunnel: api.TunnelID(e.ID), Since: &since}
	if e.Late {
		p.Code, p.Text = "port_in_use", fmt.Sprintf("port %d is leased, and another program has it: end that program", e.Port)
		return p, true
	}
	p.Code = string(state)
	p.Text, is = trouble(state, nameOf(e), failure)
	return p, is
}

// trouble returns what is wrong with a tunnel, or one member of a group, in a state, and what
// to do, and whether something is wrong.
func trouble(state api.State, who, failure string) (text string, is bool) {
	switch state {
	case api.LocalServerDown:
		return fmt.Sprintf("%s: users cannot be served (%s): look at the relay client, and at the local server behind it", who, failure), true
	case api.Silent:
		return who + ": the relay client does not answer, though its machine does: look at its process", true
	case api.Unreachable:
		return who + ": nothing answers where the relay client was: look at its machine, and the network before it", true
	case api.Away:
		return who + ": no relay client serves it: start the forwarder, or close the tunnel", true
	}
	return "", false
}

// nameOf names a tunnel to people.
func nameOf(e *endpoint.Snapshot) string {
	text := fmt.Sprintf("port %d", e.Port)
	for _, name := range []string{e.Name, e.Identity} {
		if name != "" {
			return text + " (" + name + ")"
		}
	}
	return text
}
