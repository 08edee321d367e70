package metrics

import (
	"github.com/seed96252745/relay/internal/api"
)

// families are the metrics of a snapshot.
type families struct {
	started, draining, problems            *family
	users, waiting, joined, received, sent *family
	tunnelsIn                              *family
	limitMax, limitUsed, limitMet          *family

	tunnelUsers, tunnelWaiting, tunnelState, tunnelRoundTrip      *family
	tunnelConnections, tunnelReceived, tunnelSent, tunnelResets   *family
	probeSuccess, probeTook, probeDial                            *family
	handshakes, delayed, ports, sessions, idle, buffered, maxHeld *family
	descriptors, maxDescriptors, stalled, maxStalled              *family
	shutOut, shortages, logLines                                  *family
}

func (s *snapshot) newFamilies() families {
	of := s.kind.names
	return families{
		started:  s.gauge("start_time_seconds", "When it was started, in seconds since 1970."),
		draining: s.gauge("draining", "1 while it shuts down and takes no new user."),
		problems: s.gauge("problems", "How many things are wrong and have to be seen to. relay status shows them."),

		users:    s.gauge("users_active", "Users who are joined."),
		waiting:  s.gauge("users_waiting", "Users who are not joined yet."),
		joined:   s.gauge("users_joined_total", "Users who were joined."),
		received: s.gauge("received_bytes_total", "Bytes from users."),
		sent:     s.gauge("sent_bytes_total", "Bytes to users."),

		tunnelsIn: s.gauge("tunnels", "Tunnels and leases by state.", "state"),

		limitMax:  s.gauge("limit_max", "What a limit allows, in its own unit. +Inf is no limit.", "limit"),
		limitUsed: s.gauge("limit_used", "What is used of a limit that is counted for all together.", "limit"),
		limitMet:  s.gauge("limit_met_total", "How often somebody met a limit.", "limit"),

		tunnelUsers:       s.gauge("tunnel_users_active", "Users of a tunnel who are joined.", of...),
		tunnelWaiting:     s.gauge("tunnel_users_waiting", "Users of a tunnel who are not joined yet.", of...),
		tunnelState:       s.gauge("tunnel_state", "1 for the state that a tunnel is in.", append(of[:len(of):len(of)], "state")...),
		tunnelRoundTrip:   s.gauge("tunnel_round_trip_seconds", "Round trip between relay and relay client.", of...),
		tunnelConnections: s.gauge("tunnel_users_joined_total", "Users of a tunnel who were joined.", of...),
		tunnelReceived:    s.gauge("tunnel_received_bytes_total", "Bytes from users of a tunnel.", of...),
		tunnelSent:        s.gauge("tunnel_sent_bytes_total", "Bytes to users of a tunnel.", of...),
		tunnelResets:      s.gauge("tunnel_user_resets_total", "Users of a tunnel who were reset before they were joined.", of...),

		probeSuccess: s.gauge("tunnel_probe_success", s.kind.probe.success, of...),
		probeTook:    s.gauge("tunnel_probe_duration_seconds", s.kind.probe.took, of...),
		probeDial:    s.gauge("tunnel_probe_dial_seconds", s.kind.probe.dial, of...),

		handshakes: s.gauge("handshakes_active", "Connections to the control port that have not sent their request yet."),
		delayed:    s.gauge("refusals_delayed", "Relay clients with a wrong token that are made to wait for the answer."),
		ports:      s.gauge("public_ports_open", "Public ports that are open, leased ones included."),
		sessions:   s.gauge("multiplex_sessions", "Sessions of multiplex tunnels."),
		idle:       s.gauge("pool_connections_idle", "Connections of pool tunnels that wait for users."),

		buffered:       s.gauge("buffered_bytes", "Bytes that multiplex sessions and SSH clients hold for users who do not read."),
		maxHeld:        s.gauge("buffered_bytes_max", "Bytes that they may hold."),
		descriptors:    s.gauge("descriptors_used", "Descriptors of the budget that are taken."),
		maxDescriptors: s.gauge("descriptors_max", "Descriptors of the budget, or +Inf."),
		stalled:        s.gauge("joins_stalled", "Directions of joins whose receiver takes nothing."),
		maxStalled:     s.gauge("joins_stalled_max", "How many of them may stall until the kernel may hold less for each."),

		shutOut:   s.gauge("connections_shut_out_total", "Connections of sources that are banned."),
		shortages: s.gauge("accept_shortages_total", "Accepts that failed, or were undone, for want of descriptors or memory."),
		logLines:  s.gauge("log_lines_left_out_total", "Lines that were left out of the log, as one source caused too many."),
	}
}

// states are all states of a tunnel, which are shown as 0 if no tunnel is in one.
var states = []api.State{
	api.Up, api.LocalServerDown, api.Silent, api.Unreachable, api.Away, api.Paused, api.Unknown, api.Connecting,
}

// status adds what a node says of itself.
func (c *collection) status(of *api.Status) {
	c.add(c.started, seconds(of.Started), nil)
	c.add(c.draining, number(of.Draining), nil)
	c.add(c.problems, float64(len(of.Problems)), nil)
	c.add(c.users, float64(of.Users), nil)
	c.add(c.waiting, float64(of.Waiting), nil)
	c.add(c.joined, float64(c.total.connections), nil)
	c.add(c.received, float64(c.total.received), nil)
	c.add(c.sent, float64(c.total.sent), nil)
}

// states adds how many tunnels are in each state.
func (c *collection) states(snapshot []api.Tunnel) {
	in := make(map[api.State]int, len(states))
	for i := range snapshot {
		in[snapshot[i].State]++
	}
	for _, state := range states {
		c.add(c.tunnelsIn, float64(in[state]), pairs([]string{"state"}, []string{string(state)}))
	}
}

// usage adds what the process holds.
func (c *collection) usage(u Usage) {
	for _, of := range []struct {
		*family
		value float64
	}{
		{c.handshakes, float64(u.Handshakes)},
		{c.delayed, float64(u.Delayed)},
		{c.ports, float64(u.Ports)},
		{c.sessions, float64(u.Sessions)},
		{c.idle, float64(u.Idle)},
		{c.buffered, float64(u.Buffered)},
		{c.maxHeld, bound(u.MaxBuffered)},
		{c.descriptors, float64(u.Descriptors)},
		{c.maxDescriptors, bound(int64(u.MaxDescriptors))},
		{c.stalled, float64(u.Stalled)},
		{c.maxStalled, bound(u.MaxStalled)},
		{c.shutOut, float64(u.ShutOut)},
		{c.shortages, float64(u.Shortages)},
		{c.logLines, float64(u.LogLines)},
	} {
		c.add(of.family, of.value, nil)
	}
}
