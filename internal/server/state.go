package server

import (
	"log/slog"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/protocol"
)

// State is what a server holds at a moment, and what it has counted since its
// start.
type State struct {
	Handshakes  int // connections that have not said yet what they want
	Stalled     int // that wait for their refusal
	Ports       int // public, those included whose owners are away
	Tunnels     int
	Users       int
	Waiting     int // of them, for the relay client, or for a load balancer to name them
	Descriptors int // of the budget
	// MaxDescriptors is that budget, or math.MaxInt.
	MaxDescriptors int
	// StalledJoins is how many directions of joins move nothing as nobody reads, and
	// MaxStalledJoins how many may be until the kernel holds less for each.
	StalledJoins, MaxStalledJoins int64
	// Held is what the protocols hold together.
	Held protocol.Usage

	Counters *admission.Counters
	// Protocols tell what they have counted, by their verbs.
	Protocols map[string]slog.LogValuer
}

// State tells how the server is. It may be called concurrently.
func (s *Server) State() State {
	usage, endpoints := s.admission.Usage(), s.endpoints.Usage()
	state := State{
		Handshakes:  usage.Handshakes,
		Stalled:     usage.Delayed,
		Ports:       endpoints.Ports,
		Tunnels:     endpoints.Tunnels,
		Users:       usage.Users,
		Waiting:     endpoints.Waiting + s.entries.Headers(),
		Descriptors: usage.Descriptors,

		MaxDescriptors:  usage.MaxDescriptors,
		StalledJoins:    endpoints.StalledJoins,
		MaxStalledJoins: endpoints.MaxStalledJoins,

		Counters:  &s.admission.Counters,
		Protocols: make(map[string]slog.LogValuer),
	}
	for verb, p := range s.protocols {
		if measured, ok := p.(protocol.Measured); ok {
			state.Held = state.Held.Plus(measured.Usage())
		}
		if counting, ok := p.(slog.LogValuer); ok {
			state.Protocols[verb.Name] = counting
		}
	}
	return state
}

// LogValue gives everything for one line of a log.
func (s State) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.Int("handshakes", s.Handshakes),
		slog.Int("stalled", s.Stalled),
		slog.Int("ports", s.Ports),
		slog.Int("tunnels", s.Tunnels),
		slog.Int("users", s.Users),
		slog.Int("waiting", s.Waiting),
		slog.Int("budgetedDescriptors", s.Descriptors),
	}
	limits := []any{}
	for kind, n := range s.Counters.All() {
		limits = append(limits, slog.Int64(kind.String(), n))
	}
	attrs = append(attrs, slog.Group("counters", limits...))
	for verb, counting := range s.Protocols {
		attrs = append(attrs, slog.Any(verb, counting))
	}
	return slog.GroupValue(attrs...)
}
