package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// maxReclaimed is how many leases of its own identity give way to one registration: one
// has the port that it asks for, one the name, and one is a tunnel too many.
const maxReclaimed = 3

// errGaveWay is why a lease ends that is in the way of its own identity.
var errGaveWay = observe.WithReason(errors.New("its token has come with another lease key, and nobody served this port"), observe.LeaseKeyChanged)

// portFor returns the port that the relay client owns, or opens one. A lease of the same
// identity that nobody serves gives way: a relay client that comes without the lease key
// has mostly lost it.
func (s *Server) portFor(i Identity, source admission.Source, wish wire.Preamble) (*publicPort, error) {
	p, err := s.findPort(i, source, wish)
	for tries := 0; err != nil && tries < maxReclaimed && s.reclaim(i, source, wish, err); tries++ {
		p, err = s.findPort(i, source, wish)
	}
	if err != nil {
		return nil, s.explainOwn(i, wish, err)
	}
	return p, nil
}

// reclaim has a lease of i that is away give way to a request that failed with err: the
// lease of that port or that name, or else the one that has been away longest. If i may
// have that port for this request, the lease passes to the new key, and users who wait at
// the port go on waiting; otherwise the lease ends. It reports whether there was one.
func (s *Server) reclaim(i Identity, source admission.Source, wish wire.Preamble, err error) bool {
	if i.Name == "" {
		return false // it has no leases but by their keys
	}
	for _, h := range s.leases.Away(ownerOf(i.Name, source)) {
		p := s.leasedPort(h)
		if p == nil || !s.isInTheWay(p, i, wish, err) {
			continue
		}
		// The same port would come with its users, who count as they are.
		if errors.Is(err, admission.ErrTunnelsPerIdentity) && wish.Port != 0 && wish.Port != p.number && p.hasUsers() {
			continue
		}
		fits := wish.Lease != "" && (wish.Port == 0 || wish.Port == p.number) && s.mayHave(i, p.number)
		if fits && h.Pass(lease.KeyOf(i.Name, wish.Lease)) {
			s.events.Observe(observe.Event{
				Name: observe.LeasePassed, Source: source.Prefix(), Tunnel: observe.Tunnel{Port: p.number, Identity: i.Name},
			})
			return true
		}
		return h.EndAway(errGaveWay)
	}
	return false
}

// isInTheWay reports whether the request of i failed with err because of a port of i.
func (s *Server) isInTheWay(p *publicPort, i Identity, wish wire.Preamble, err error) bool {
	switch {
	case errors.Is(err, lease.ErrNameTaken):
		return p.lease != nil && p.lease.Lease().Name == wish.Name
	case errors.Is(err, lease.ErrPortTaken):
		return p.number == wish.Port
	case errors.Is(err, lease.ErrNoPort):
		return s.mayHave(i, p.number)
	}
	return errors.Is(err, admission.ErrTunnelsPerIdentity)
}

// explainOwn adds to err which relay client of the same identity serves what i cannot
// have. Of others it tells nothing.
func (s *Server) explainOwn(i Identity, wish wire.Preamble, err error) error {
	if i.Name == "" {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.open {
		p.mu.Lock()
		t := p.tunnel
		own := t != nil && t.identity.Name == i.Name && s.isInTheWay(p, i, wish, err)
		p.mu.Unlock()
		if own {
			code := s.explain(err).Code
			if errors.Is(err, lease.ErrPortTaken) || errors.Is(err, lease.ErrNameTaken) {
				code = wire.CodeInUse // which passes: that one may be dead, or give way
			}
			return fmt.Errorf("%w; %w", &wire.Refusal{
				Code: code,
				Text: fmt.Sprintf("%v: %s serves port %d with the same token or certificate, since %s",
					err, t.client, p.number, t.since.UTC().Format(time.RFC3339)),
			}, err)
		}
	}
	return err
}

// defaultEvictAfter is time enough for any restart: an owner who is back by then finds
// its port, whatever others do who share its address.
const defaultEvictAfter = time.Minute

// evict ends the lease that has been away longest, of those that count against the same
// source, so that a relay client which makes a new key at each start does not shut itself
// out. A lease whose owner has just left stands: others may share the source. It reports
// whether there was one.
func (s *Server) evict(source admission.Source) bool {
	for _, h := range s.leases.Away(ownerOf("", source)) {
		if p := s.leasedPort(h); p != nil && !p.hasUsers() && h.AwayFor() >= s.config.EvictAfter {
			return h.EndAway(errEvicted)
		}
	}
	return false
}
