package server

import (
	"log/slog"
	"math"
	"slices"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/observe"
)

// sinks returns a sink of all that get events, of which the log is one.
func (s *Server) sinks(log *observe.Log) observe.Sink {
	return observe.Tee(slices.Concat([]observe.Sink{log}, s.config.Load().Sinks)...)
}

// tunnelLines is how many times as many lines there may be about a source's tunnels:
// ten that come and go ten times a minute are a trouble that an operator wants to see.
const tunnelLines = 20

// newLog returns the log of events, in which one source can cause so many lines a minute.
// Some events have a budget of their own, so that no others can use it up.
func newLog(logger *slog.Logger, perMinute int, leftOut func()) *observe.Log {
	tunnels := admission.NewLogBudget(tunnelLines * min(perMinute, math.MaxInt/tunnelLines))
	others := admission.NewLogBudget(perMinute)
	return &observe.Log{
		Logger:  logger,
		LeftOut: leftOut,
		Budgets: map[observe.Name]observe.Budget{
			observe.TunnelOpened:       tunnels,
			observe.TunnelClosed:       tunnels,
			observe.TunnelStateChanged: tunnels,
			observe.LeaseEnded:         tunnels,
			observe.LeasePassed:        tunnels,

			observe.UsersLimited:      admission.NewLogBudget(perMinute),
			observe.HandshakesLimited: admission.NewLogBudget(perMinute),
			observe.SourceBanned:      admission.NewLogBudget(perMinute),

			observe.UserReset:         others,
			observe.RequestRefused:    others,
			observe.ProxyHeaderFailed: others,
			observe.Panicked:          others,
		},
	}
}
