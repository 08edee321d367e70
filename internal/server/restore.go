package server

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// restoreLeases opens the ports that were leased when the relay ended, before
// anybody else can have them. Who comes there waits for their owners. What may not be
// opened now is kept: the mistake may be in how the relay was started.
func (s *Server) restoreLeases() {
	saved, err := s.config.Leases.Load()
	if err != nil {
		s.log.Error("some leases cannot be read: their owners will get other ports", "error", err)
	}
	now := time.Now()
	s.sortByLeaving(saved, now)
	var restored []*publicPort
	var shelved []lease.Lease
	closed := make(closedPorts)
	for _, l := range saved {
		places := s.standing(l, now)
		if len(places) == 0 {
			_ = s.config.Leases.Delete(l.Key) // it will be tried at the next start too
			s.log.Info("lease ended", append(aboutLease(l), "reason", "its time was over before the relay was started")...)
			continue
		}
		p, err := s.restoreOne(l, places)
		if err == nil {
			restored = append(restored, p)
			continue
		}
		closed.add(l, err)
		l = l.At(places[0], places[1:])
		s.leases.shelve(l)
		shelved = append(shelved, l)
	}
	s.keepClosed(restored, shelved)
	s.logClosed(closed)
	// From now on nobody serves them, and the next start has to know since when.
	s.running.Go(func() {
		atOnce(restored, s.leases.save)
		atOnce(shelved, s.leases.saveShelved)
	})
}

// sortByLeaving puts first whose owner was there when the relay ended, and then who
// left last: of two who have had one port, after starts of the relay that could open
// it for one of them only, it is that one's.
func (s *Server) sortByLeaving(leases []lease.Lease, now time.Time) {
	left := func(l lease.Lease) time.Time {
		if l.Until.IsZero() {
			return now
		}
		return l.Until.Add(-s.keep(l.Identity))
	}
	slices.SortStableFunc(leases, func(a, b lease.Lease) int { return left(b).Compare(left(a)) })
}

// standing gives the ports of a lease whose time is not over, the last one first. From
// now on all have an end.
func (s *Server) standing(l lease.Lease, now time.Time) (places []lease.Place) {
	longest := now.Add(s.keep(l.Identity))
	for _, place := range l.Places() {
		if place.Until.IsZero() || place.Until.After(longest) {
			place.Until = longest
		}
		if place.Until.After(now) {
			places = append(places, place)
		}
	}
	return places
}

// restoreOne opens the first port of a lease that can be opened. The error is why the
// last one that its owner had cannot.
func (s *Server) restoreOne(l lease.Lease, places []lease.Place) (p *publicPort, why error) {
	for i, place := range places {
		others := slices.Concat(places[:i], places[i+1:])
		p, err := s.restore(l, l.At(place, others))
		if err == nil {
			if i > 0 {
				s.log.Info("a lease has an earlier port again", "port", place.Port, "insteadOf", l.Port, "reason", why)
			}
			return p, nil
		}
		if why == nil {
			why = err
		}
	}
	return nil, why
}

// keepClosed has ports that were not opened given to others last, and to nobody who
// asks for one and has no better right to it than that.
func (s *Server) keepClosed(restored []*publicPort, shelved []lease.Lease) {
	for _, l := range shelved {
		for _, place := range l.Places() {
			s.ports.Withhold(place.Port, place.Until)
		}
	}
	for _, p := range restored {
		p.mu.Lock()
		others := p.lease.Places()[1:]
		p.mu.Unlock()
		for _, place := range others {
			s.ports.Withhold(place.Port, place.Until)
		}
	}
}

// mayRestore gives an error if a port is none that its owner may have.
func (s *Server) mayRestore(l lease.Lease) error {
	if l.Identity == "" {
		if !s.config.Ports.Contains(l.Port) {
			return fmt.Errorf("it is none of the public ports %s", s.config.Ports)
		}
		return nil
	}
	stop, err := s.config.WatchOwner(l.Identity, l.Port, func(error) {})
	if err == nil {
		stop()
	}
	return err
}

// restore opens the port of l, which was saved otherwise, perhaps. Whose it is of those
// who are nobody in particular is seen when the owner comes: see adopt.
func (s *Server) restore(saved, l lease.Lease) (*publicPort, error) {
	if err := s.mayRestore(l); err != nil {
		return nil, err
	}
	if !wire.ValidName(l.Name) || s.leases.mayName(l.Key, l.Identity, l.Name) != nil {
		l.Name = "" // somebody else's by now, or nobody's
	}
	owner := ownerOf(l.Identity, admission.Source{})
	if l.Identity == "" {
		owner = unboundOwner
	}
	listener, err := s.ports.OpenOne(l.Port, owner)
	if sockerr.Is(err, syscall.EADDRINUSE) {
		s.log.Warn("another program has a leased port: it is tried again for as long as the lease stands", "port", l.Port, "error", err)
		listener, err = s.ports.OpenLate(l.Port, s.log)
	}
	if errors.Is(err, lease.ErrPortTaken) {
		err = errors.New("another lease has the port by now")
	}
	if err != nil {
		return nil, err
	}
	if err := s.admission.AcquireTunnelDescriptors(); err != nil {
		_ = listener.Close()
		s.ports.Free(l.Port)
		return nil, err
	}
	release := func() {}
	if l.Identity != "" {
		release, _ = s.admission.AdmitTunnel(l.Identity, math.MaxInt, admission.Source{}) // cannot be too many
	}
	p := newPublicPort(s, l.Port, listener, s.admission.Accounts.Open(owner, l.Port, release), admission.Source{}, owner)
	p.unbound = l.Identity == ""
	p.lease = &holding{Lease: l, keep: s.keep(l.Identity), saved: saved}
	if _, err := s.leases.enter(p); err != nil {
		p.release()
		return nil, err
	}
	p.mu.Lock()
	err = p.awayLocked(l.Until)
	p.mu.Unlock()
	if err == nil {
		err = s.startPort(p)
	}
	if err != nil {
		p.end(err)
	}
	return p, err
}

// adopt has a port that was restored count against the source of its owner, who has
// come, even beyond what that may have: it is open, and what others of the network have
// opened meanwhile does not keep its owner out.
func (s *Server) adopt(p *publicPort, source admission.Source) error {
	p.mu.Lock()
	unbound := p.unbound
	p.mu.Unlock()
	if !unbound {
		return nil
	}
	release := s.admission.CountTunnel(source)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason != nil || !p.unbound { // somebody was quicker
		release()
		return p.reason
	}
	p.unbound, p.source, p.owner = false, source, ownerOf("", source)
	s.admission.Accounts.Bind(p.account, p.owner, release)
	return nil
}

// owned has a port that ends be kept for its owner, who has come for another one.
func (p *publicPort) owned(source admission.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unbound {
		p.owner = ownerOf("", source)
	}
}

// keep is how long ports of an identity are kept.
func (s *Server) keep(identity string) time.Duration {
	if identity != "" {
		return s.config.IdentityLease
	}
	return s.config.Lease
}
