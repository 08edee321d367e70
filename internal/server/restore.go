package server

import (
	"math"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/limit"
	"github.com/seed96252745/relay/internal/sockerr"
	"github.com/seed96252745/relay/internal/wire"
)

// restoreLeases opens the ports that were leased when the relay ended, before
// anybody else can have them. Who comes there waits for their owners.
func (s *Server) restoreLeases() {
	saved, err := s.config.Leases.Load()
	if err != nil {
		s.log.Error("some leases cannot be read: their owners will get other ports", "error", err)
	}
	var restored []*publicPort
	for _, l := range saved {
		keep := s.keep(l.Identity)
		until := time.Now().Add(keep)
		if !l.Until.IsZero() && l.Until.Before(until) {
			until = l.Until
		}
		if time.Until(until) <= 0 || !s.mayRestore(l) {
			_ = s.config.Leases.Delete(l.Key) // it will be tried at the next start too
			continue
		}
		p, err := s.restore(l, keep, until)
		if err != nil {
			s.log.Warn("a leased port cannot be opened: its owner will get another one", "port", l.Port, "error", err)
			continue
		}
		restored = append(restored, p)
	}
	// From now on nobody serves them, and the next start has to know since when.
	s.running.Go(func() { s.leases.saveAll(restored) })
}

// mayRestore tells whether a port is still one that its owner may have.
func (s *Server) mayRestore(l lease.Lease) bool {
	if l.Identity == "" {
		return s.config.Ports.Contains(l.Port)
	}
	stop, err := s.config.WatchOwner(l.Identity, l.Port, func(error) {})
	if err == nil {
		stop()
	}
	return err == nil
}

// restore opens a leased port. Whose it is of those who are nobody in particular is
// seen when the owner comes: see adopt.
func (s *Server) restore(l lease.Lease, keep time.Duration, until time.Time) (*publicPort, error) {
	if !wire.ValidName(l.Name) {
		l.Name = ""
	}
	owner := ownerOf(l.Identity, limit.Source{})
	listener, err := s.ports.openOne(l.Port, owner)
	if sockerr.Is(err, syscall.EADDRINUSE) {
		s.log.Warn("another program has a leased port: it is tried again for as long as the lease stands", "port", l.Port, "error", err)
		listener, err = s.ports.openLate(l.Port, s.log)
	}
	if err != nil {
		return nil, err
	}
	if err := s.takeDescriptors(); err != nil {
		_ = listener.Close()
		s.ports.free(l.Port)
		return nil, err
	}
	leave, _ := s.count(Identity{Name: l.Identity, Tunnels: math.MaxInt}, limit.Source{}) // cannot be too many
	p := newPublicPort(s, l.Port, listener, s.accounts.open(owner, l.Port, leave), limit.Source{}, owner)
	p.lease = &holding{Lease: l, keep: keep, saved: l}
	if _, err := s.leases.enter(p); err != nil {
		p.release()
		return nil, err
	}
	p.mu.Lock()
	err = p.awayLocked(until)
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
// come, as if it had been opened now.
func (s *Server) adopt(p *publicPort, source limit.Source) error {
	p.mu.Lock()
	orphan := p.isOrphanLocked()
	p.mu.Unlock()
	if !orphan {
		return nil
	}
	leave, err := s.countFor(Identity{}, source)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason != nil || !p.isOrphanLocked() { // somebody was quicker
		leave()
		return p.reason
	}
	p.source, p.owner = source, ownerOf("", source)
	s.accounts.adopt(p.account, p.owner, leave)
	return nil
}

// isOrphanLocked tells whether a port was restored for nobody in particular, who has
// not come yet.
func (p *publicPort) isOrphanLocked() bool {
	return p.lease != nil && p.lease.Identity == "" && p.source == limit.Source{}
}

// owned has a port that ends be kept for its owner, who has come for another one.
func (p *publicPort) owned(source limit.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isOrphanLocked() {
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
