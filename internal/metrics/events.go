package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/observe"
)

var (
	// waitBuckets are for users who wait, in seconds. Most are joined within a
	// millisecond on the same machine, and within a round trip otherwise. The last is how
	// long a user may wait at most, by default.
	waitBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 40}
	// durationBuckets are for connections: a request, a session, a day.
	durationBuckets = []float64{.01, .1, 1, 10, 60, 600, 3600, 86400}
)

// counters are the counters of one label, whose known values were looked up beforehand.
type counters[K ~string] struct {
	vec   *prometheus.CounterVec
	known map[K]prometheus.Counter
}

// newCounters returns counters that show known values as 0 from the start, so that the
// first event counts as an increase.
func newCounters[K ~string](vec *prometheus.CounterVec, known ...K) *counters[K] {
	c := &counters[K]{vec, make(map[K]prometheus.Counter, len(known))}
	for _, k := range known {
		c.known[k] = vec.WithLabelValues(string(k))
	}
	return c
}

func (c *counters[K]) of(k K) prometheus.Counter {
	if known, ok := c.known[k]; ok {
		return known
	}
	return c.vec.WithLabelValues(string(k))
}

// ofKnown returns the counter of k, or that of rest for a k that is not known.
func (c *counters[K]) ofKnown(k, rest K) prometheus.Counter {
	if known, ok := c.known[k]; ok {
		return known
	}
	return c.of(rest)
}

// limits are the counters of limits, by the names that the relay's own counters have.
type limits struct {
	vec   *prometheus.CounterVec
	known map[string]prometheus.Counter
}

func newLimits(vec *prometheus.CounterVec, known ...admission.Kind) *limits {
	l := &limits{vec, make(map[string]prometheus.Counter, len(known))}
	for _, k := range known {
		l.known[k.String()] = vec.WithLabelValues(observe.Identifier(k.String()))
	}
	return l
}

func (l *limits) of(name string) prometheus.Counter {
	if known, ok := l.known[name]; ok {
		return known
	}
	return l.vec.WithLabelValues(observe.Identifier(name))
}

// outcome is how a connection ends.
type outcome struct {
	by  observe.Party
	how observe.How
}

// userEvents counts what becomes of users, at a relay as at a forwarder.
type userEvents struct {
	tunnels  *tunnels
	endings  *prometheus.CounterVec
	known    map[outcome]prometheus.Counter
	resets   *counters[observe.Reason]
	duration prometheus.Histogram
	panics   prometheus.Counter
}

func newUserEvents(f factory, tunnels *tunnels, outcomes []outcome, resets []observe.Reason) *userEvents {
	u := &userEvents{
		tunnels:  tunnels,
		endings:  f.vec("connections_total", "Connections of users that were joined and have ended, by who ended them and how.", "ended_by", "how"),
		known:    make(map[outcome]prometheus.Counter, len(outcomes)),
		resets:   newCounters(f.vec("user_resets_total", "Users who were reset before they were joined, by reason.", "reason"), resets...),
		duration: f.histogram("connection_duration_seconds", "How long users were joined whose connections have ended.", durationBuckets),
		panics:   f.counter("panics_total", "Panics, each a bug that has ended one connection or tunnel."),
	}
	for _, o := range outcomes {
		u.known[o] = u.endings.WithLabelValues(string(o.by), string(o.how))
	}
	return u
}

func (u *userEvents) observe(e *observe.Event) {
	switch e.Name {
	case observe.UserDone:
		o := outcome{e.EndedBy, e.How}
		ending, ok := u.known[o]
		if !ok {
			ending = u.endings.WithLabelValues(string(o.by), string(o.how))
		}
		ending.Inc()
		u.duration.Observe(e.Duration.Seconds())
		u.tunnels.countDone(e)
	case observe.UserReset:
		u.resets.of(e.Reason).Inc()
		u.tunnels.countReset(e)
	case observe.Panicked:
		u.panics.Inc()
	}
}

// relayEvents is the sink of a relay.
type relayEvents struct {
	*userEvents
	wait           prometheus.Histogram
	delayed        prometheus.Counter
	limited        *limits
	opened         *counters[string]
	states         *counters[observe.State]
	closed, ended  *counters[observe.Reason]
	passed, banned prometheus.Counter
	registrations  *counters[string]
	claims         *counters[string]
	failed         *counters[observe.Reason]
	handshakes     *limits
	proxyHeaders   *counters[observe.Reason]
}

func newRelayEvents(f factory, tunnels *tunnels) *relayEvents {
	reason := func(name, help string, known []observe.Reason) *counters[observe.Reason] {
		return newCounters(f.vec(name, help, "reason"), known...)
	}
	refused := f.vec("requests_refused_total", "Requests of relay clients that were refused, by the code that they were told, or the reason.", "request", "code")
	of := func(request string) *prometheus.CounterVec {
		return refused.MustCurryWith(prometheus.Labels{"request": request})
	}
	return &relayEvents{
		userEvents:    newUserEvents(f, tunnels, relayOutcomes(), relayResets),
		wait:          f.histogram("user_wait_seconds", "How long users waited from accept to join.", waitBuckets),
		delayed:       f.counter("users_delayed_total", "Users who had to wait because they came too fast. They are counted up to 10 seconds late."),
		limited:       newLimits(f.vec("users_limited_total", "Users who were reset because of a limit.", "limit"), userLimits...),
		opened:        newCounters(f.vec("tunnels_opened_total", "Registrations of relay clients that were taken.", "protocol"), protocols...),
		states:        newCounters(f.vec("tunnel_state_changes_total", "Tunnels whose state has changed, by the new state, as probes show.", "state"), probed...),
		closed:        reason("tunnels_closed_total", "Tunnels that have ended, by reason.", tunnelEnds),
		ended:         reason("leases_ended_total", "Leases that have ended, by reason.", leaseEnds),
		passed:        f.counter("leases_passed_total", "Leases that have passed to another key of their token."),
		banned:        f.counter("sources_banned_total", "Bans of addresses, for too many wrong ids or tokens."),
		registrations: newCounters(of("registration"), refusals...),
		claims:        newCounters(of("claim"), claimRefusals...),
		failed:        reason("handshakes_failed_total", "Connections to the control port that were no request, by reason.", handshakeEnds),
		handshakes:    newLimits(f.vec("handshakes_limited_total", "Connections to the control port that were turned away because of a limit.", "limit"), handshakeLimits...),
		proxyHeaders:  reason("proxy_headers_failed_total", "Connections to the control port whose load balancer did not name their peer.", proxyFailures),
	}
}

// Observe counts e.
func (r *relayEvents) Observe(e observe.Event) {
	r.observe(&e)
	switch e.Name {
	case observe.UserJoined:
		r.wait.Observe(e.Waited.Seconds())
		r.tunnels.countJoined(&e)
	case observe.UserReset:
		if e.Limit != "" {
			r.limited.of(e.Limit).Inc()
		}
	case observe.UsersLimited:
		r.delayed.Add(float64(e.Delayed))
	case observe.TunnelOpened:
		r.tunnels.open(keyOf(&e.Tunnel))
		r.opened.of(e.Tunnel.Protocol).Inc()
	case observe.TunnelClosed:
		r.closed.of(e.Reason).Inc()
	case observe.TunnelStateChanged:
		r.states.of(e.To).Inc()
	case observe.LeaseEnded:
		r.ended.of(e.Reason).Inc()
	case observe.LeasePassed:
		r.passed.Inc()
	case observe.RequestRefused:
		r.countRefused(&e)
	case observe.HandshakeFailed:
		r.failed.of(e.Reason).Inc()
	case observe.HandshakesLimited:
		r.handshakes.of(e.Limit).Inc()
	case observe.ProxyHeaderFailed:
		r.proxyHeaders.of(e.Reason).Inc()
	case observe.SourceBanned:
		r.banned.Inc()
	}
}

func (r *relayEvents) countRefused(e *observe.Event) {
	of, code := r.registrations, e.Code
	if e.Claim {
		of = r.claims
	}
	if code == "" {
		code = string(e.Reason)
	}
	of.of(code).Inc()
}

// forwarderEvents is the sink of a forwarder.
type forwarderEvents struct {
	*userEvents
	dial           prometheus.Histogram
	opened, failed prometheus.Counter
	closed         *counters[observe.Reason]
	refused        *counters[string]
}

func newForwarderEvents(f factory, tunnels *tunnels) *forwarderEvents {
	return &forwarderEvents{
		userEvents: newUserEvents(f, tunnels, forwarderOutcomes(), forwarderResets),
		dial:       f.histogram("local_dial_seconds", "How long the local server took to accept, for users whose connections have ended.", waitBuckets),
		opened:     f.counter("tunnels_opened_total", "Registrations at the relay."),
		failed:     f.counter("registrations_failed_total", "Attempts to register that have failed without an answer."),
		closed:     newCounters(f.vec("tunnels_closed_total", "Registrations that have ended, by reason.", "reason"), observe.RelayLost, observe.Draining, observe.RegisteredAnew),
		refused:    newCounters(f.vec("requests_refused_total", "Registrations that the relay has refused, by its code.", "code"), refusals...),
	}
}

// Observe counts e.
func (f *forwarderEvents) Observe(e observe.Event) {
	f.observe(&e)
	switch e.Name {
	case observe.UserDone:
		f.dial.Observe(e.DialTime.Seconds())
	case observe.TunnelOpened:
		f.opened.Inc()
	case observe.TunnelClosed:
		f.closed.of(e.Reason).Inc()
	case observe.RegistrationFailed:
		f.failed.Inc()
	case observe.RequestRefused:
		f.refused.ofKnown(e.Code, string(observe.Other)).Inc() // a relay may answer with any word
	}
}
