package server

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/wire"
)

// mostReclaimed is how many leases of its own one registration may have give way: one
// has the port that it asks for, one the name, and one is a tunnel too many.
const mostReclaimed = 3

// errGaveWay is why a lease ends that its own identity was in the way of.
var errGaveWay = errors.New("its token has come with another lease key, and nobody served this port")

// portFor gives the port that the relay client owns, or opens one. What the identity
// itself has, and does not serve, is not in its way: who comes without the lease key
// has mostly lost it.
func (s *Server) portFor(i Identity, source admission.Source, wish wire.Preamble) (*publicPort, error) {
	p, err := s.findPort(i, source, wish)
	for tries := 0; err != nil && tries < mostReclaimed && s.reclaim(i, source, wish, err); tries++ {
		p, err = s.findPort(i, source, wish)
	}
	if err != nil {
		return nil, s.explainOwn(i, wish, err)
	}
	return p, nil
}

// reclaim has a lease of i's that nobody serves give way to what i wishes for and
// cannot have because of err: the one of that port or that name, or else the one that
// was left alone longest. If its port is what i may have for this wish, the lease
// passes to the new key, and users who wait at the port go on waiting; otherwise it
// ends. It reports whether there was one.
func (s *Server) reclaim(i Identity, source admission.Source, wish wire.Preamble, err error) bool {
	if i.Name == "" {
		return false // anybody, who has nothing
	}
	p := s.longestAway(func(p *publicPort) bool {
		// Who may have the same port has its users with it, which count as they are.
		helps := !errors.Is(err, admission.ErrTunnelsPerIdentity) || wish.Port == 0 || wish.Port == p.number || !p.hasUsers()
		return helps && p.lease.Identity == i.Name && s.isInTheWay(p, i, wish, err)
	})
	if p == nil {
		return false
	}
	fits := wish.Lease != "" && (wish.Port == 0 || wish.Port == p.number) && s.mayHave(i, p.number)
	if fits && s.leases.pass(p, lease.KeyOf(i.Name, wish.Lease)) {
		s.admission.Logs.Tunnels.Log(source, slog.LevelInfo, "lease passed to another key of its token",
			"port", p.number, "identity", i.Name)
		return true
	}
	return p.endIfAway(errGaveWay)
}

// isInTheWay reports whether it is because of a port of i's that i cannot have what it
// wishes for. The port's lock is held.
func (s *Server) isInTheWay(p *publicPort, i Identity, wish wire.Preamble, err error) bool {
	switch {
	case errors.Is(err, errNameTaken):
		return p.lease != nil && p.lease.Name == wish.Name
	case errors.Is(err, lease.ErrPortTaken):
		return p.number == wish.Port
	case errors.Is(err, lease.ErrNoPort):
		return s.mayHave(i, p.number)
	}
	return errors.Is(err, admission.ErrTunnelsPerIdentity)
}

// longestAway gives the port that nobody has served for longest, of those that may
// be; it is asked with the port's lock held. Nil is none.
func (s *Server) longestAway(may func(*publicPort) bool) *publicPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	var longest *publicPort
	var until time.Time
	for p := range s.open {
		if p.lease == nil {
			continue
		}
		p.mu.Lock()
		if u := p.lease.Until; !u.IsZero() && (longest == nil || u.Before(until)) && may(p) {
			longest, until = p, u
		}
		p.mu.Unlock()
	}
	return longest
}

// explainOwn adds to err whose port it is that i cannot have, if it is its own and is
// being served. Of others nothing is told.
func (s *Server) explainOwn(i Identity, wish wire.Preamble, err error) error {
	if i.Name == "" {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.open {
		p.mu.Lock()
		t := p.tunnel
		own := t != nil && t.identity.Name == i.Name && s.isInTheWay(p, i, wish, err)
		p.mu.Unlock()
		if own {
			code := s.explain(err).Code
			if errors.Is(err, lease.ErrPortTaken) || errors.Is(err, errNameTaken) {
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

// evict ends the lease that nobody has served for longest, of those that count against
// the same source, so that a relay client which makes a new key at each start does not
// shut itself out. One whose owner has just left is not ended: others may share the
// source. It reports whether there was one.
func (s *Server) evict(source admission.Source) bool {
	p := s.longestAway(func(p *publicPort) bool {
		return p.lease.Identity == "" && !p.unbound && p.source == source && !p.hasUsers() && time.Since(p.lease.away) >= s.config.EvictAfter
	})
	return p != nil && p.endIfAway(errEvicted)
}

// pass gives the lease of p, which nobody serves, to another key. It reports whether
// that was so, and the key has no lease.
func (l *leases) pass(p *publicPort, to lease.Key) bool {
	l.mu.Lock()
	p.mu.Lock()
	h := p.lease
	from := h.Key
	ok := p.reason == nil && p.tunnel == nil && !h.Until.IsZero() && l.ports[from] == p && l.ports[to] == nil
	if ok {
		delete(l.ports, from)
		l.ports[to] = p
		if h.Name != "" {
			l.names[ownName{h.Identity, h.Name}] = to
		}
		h.Key = to
	}
	p.mu.Unlock()
	l.mu.Unlock()
	if ok {
		l.save(p) // first, or a relay that dies now has neither
		l.drop(from, p.number)
	}
	return ok
}
