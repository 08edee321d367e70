package server

import (
	"math"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

// Limit is a limit, and what is used of it.
type Limit struct {
	Name string // as the log has it, if it does
	Max  int64  // -1 is none
	Used int64  // PerOwner where each tunnel, or each source, has its own
	Met  int64  // how often somebody has met it
}

// PerOwner is what is used of a limit that holds for each of many.
const PerOwner = -1

// Limits returns all of [admission.Limits].
func (s *Server) Limits() []Limit {
	l, state := &s.config.Load().Limits, s.State()
	met := state.Counters.Of
	return []Limit{
		{"users", bound(l.Users), int64(state.Users), met(admission.Users)},
		{"users_per_source", bound(l.UsersPerSource), PerOwner, met(admission.UsersPerSource)},
		{"users_per_second", bound(l.UsersPerSecond), PerOwner, met(admission.UsersPerSecond)},
		{"user_wait_seconds", seconds(l.UserWait), PerOwner, met(admission.UserWaits)},
		{"waiting_users_of_tunnel", bound(l.Waiting), PerOwner, met(admission.Waiting)},
		{"tunnels_per_source", bound(l.TunnelsPerSource), PerOwner, met(admission.TunnelsPerSource)},
		{"tunnels_per_network", bound(l.TunnelsPerNetwork), PerOwner, met(admission.TunnelsPerNetwork)},
		{"handshakes", bound(l.Handshakes), int64(state.Handshakes), met(admission.Handshakes)},
		{"handshakes_per_source", bound(l.HandshakesPerSource), PerOwner, met(admission.HandshakesPerSource)},
		{"handshake_timeout_seconds", seconds(l.HandshakeTimeout), PerOwner, met(admission.HandshakeTimeouts)},
		{"wrong_claims_per_minute", bound(l.WrongClaims), PerOwner, met(admission.SourcesShutOut)},
		{"refusal_delay_seconds", seconds(l.RefusalDelay), PerOwner, met(admission.WrongTokens)},
		{"streams_of_tunnel", bound(l.Streams), PerOwner, met(admission.Streams)},
		{"sessions_of_tunnel", bound(l.Sessions), PerOwner, 0}, // a tunnel gets fewer, and nobody is refused
		{"sessions", bound(l.SessionsInAll), int64(state.Held.Further), 0},
		{"pending_of_tunnel", bound(l.Pending), PerOwner, met(admission.Pending)},
		{"idle_of_tunnel", bound(l.Idle), PerOwner, met(admission.Idle)},
		{"idle", bound(l.IdleInAll), int64(state.Held.Idle), met(admission.Idle)},
		{"descriptors", bound(l.Descriptors), int64(state.Descriptors), met(admission.Descriptors)},
		{"buffered_bytes", bound(l.Buffered), state.Held.Buffered, state.Held.Shed},
		{"log_lines_per_minute", bound(l.LogLines), PerOwner, met(admission.LogLines)},
	}
}

// bound returns a limit in which no limit is -1.
func bound[N ~int | ~int64](limit N) int64 {
	if int64(limit) == math.MaxInt || int64(limit) == math.MaxInt64 {
		return -1
	}
	return int64(limit)
}

// seconds is bound for a time, which is at least a second.
func seconds(d time.Duration) int64 {
	if bound(d) < 0 || d >= math.MaxInt64/2 {
		return -1
	}
	return int64(max(d.Round(time.Second)/time.Second, 1))
}
