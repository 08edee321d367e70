package server

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/roster"
)

// Endpoints returns how the open public ports are, by their numbers.
func (s *Server) Endpoints() []endpoint.Snapshot {
	open := s.endpoints.All()
	all := make([]endpoint.Snapshot, 0, len(open))
	for _, e := range open {
		all = append(all, e.Snapshot())
	}
	slices.SortFunc(all, func(a, b endpoint.Snapshot) int { return cmp.Compare(a.Port, b.Port) })
	return all
}

// Works returns nil when the server has shown that it attends to listeners and joins, and that
// none of its locks is held for ever; or ctx's error. It may hang where a lock is.
func (s *Server) Works(ctx context.Context) error {
	if err := s.endpoints.Works(ctx); err != nil {
		return err
	}
	s.State()
	s.Endpoints()
	return nil
}

// Users returns joined users of an endpoint, or of all if it is 0, the oldest first: at
// most limit.
func (s *Server) Users(endpoint uint64, limit int) []endpoint.User {
	return s.endpoints.Users(endpoint, limit)
}

// Totals returns the users, and their bytes, since the start.
func (s *Server) Totals() roster.Totals { return s.endpoints.Totals() }

// EndUser resets a joined user's connection, and reports whether there is such a user.
func (s *Server) EndUser(id uint64) bool { return s.endpoints.EndUser(id) }

// CloseEndpoint ends an endpoint, its lease and its users, and reports whether there is
// such an endpoint. Its relay client may register again.
func (s *Server) CloseEndpoint(id uint64) bool { return s.with(id, (*endpoint.Endpoint).End) }

// PauseEndpoint has an endpoint take no users until ResumeEndpoint, and reports whether
// there is such an endpoint.
func (s *Server) PauseEndpoint(id uint64) bool { return s.with(id, (*endpoint.Endpoint).Pause) }

// ResumeEndpoint ends PauseEndpoint.
func (s *Server) ResumeEndpoint(id uint64) bool { return s.with(id, (*endpoint.Endpoint).Resume) }

// Ban shuts a network out for so long: neither its users nor its relay clients are served,
// those included who are here.
func (s *Server) Ban(source netip.Prefix, d time.Duration) error {
	if err := s.admission.Ban(source, d); err != nil {
		return err
	}
	s.endpoints.EndBanned()
	return nil
}

// Unban ends Ban, and reports whether the network was banned.
func (s *Server) Unban(source netip.Prefix) bool { return s.admission.Unban(source) }

// Bans returns the networks that are shut out, and until when.
func (s *Server) Bans() []admission.Ban { return s.admission.Bans.All() }

// LeaseTrouble returns what keeps owners from having their ports back.
func (s *Server) LeaseTrouble() lease.Trouble { return s.registrar.leases.Trouble() }

// Draining reports whether no user is taken any more.
func (s *Server) Draining() bool { return s.endpoints.Draining().Err() != nil }

// with calls do with an open endpoint, and reports whether there is one with this ID.
func (s *Server) with(id uint64, do func(*endpoint.Endpoint)) bool {
	e := s.endpoints.Find(id)
	if e != nil {
		do(e)
	}
	return e != nil
}
