package server

import (
	"errors"
	"fmt"
	"math"
	"syscall"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/sockerr"
)

// mayRestore returns an error if a port is none that its owner may have.
func (s *Server) mayRestore(l lease.Lease) error {
	if l.Identity == "" {
		if !s.config.Ports.Contains(l.Port) {
			return observe.WithReason(fmt.Errorf("it is none of the public ports %s", s.config.Ports), observe.PortForbidden)
		}
		return nil
	}
	stop, err := s.config.WatchOwner(l.Identity, l.Port, func(error) {})
	if err == nil {
		stop()
	}
	return err
}

// restore opens the port of l. Which source the port of nobody in particular counts
// against is known when the owner comes: see bind.
func (s *Server) restore(l lease.Lease) (*lease.Handle, error) {
	if err := s.mayRestore(l); err != nil {
		return nil, err
	}
	if policy.CheckName(l.Name) != nil || s.leases.MayName(l.Key, l.Identity, l.Name) != nil {
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
		err = observe.WithReason(errors.New("another lease has the port by now"), observe.PortTaken)
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
	p.lease = s.leases.New(l, owner, p.end)
	s.trackPort(p)
	if _, err := s.leases.Acquire(p.lease); err != nil {
		p.release()
		return nil, err
	}
	return p.lease, s.startPort(p)
}
