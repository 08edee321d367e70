package server

import (
	"errors"
	"fmt"
	"math"
	"syscall"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/sockerr"
)

// mayRestore returns an error if a port is none that its owner may have.
func (r *registrar) mayRestore(l lease.Lease) error {
	if l.Identity == "" {
		if !r.config.Load().Ports.Contains(l.Port) {
			return observe.WithReason(fmt.Errorf("it is none of the public ports %s", r.config.Load().Ports), observe.PortForbidden)
		}
		return nil
	}
	stop, err := r.config.Load().WatchOwner(l.Identity, l.Port, func(error) {})
	if err == nil {
		stop()
	}
	return err
}

// restore opens the endpoint of a lease that stood when the relay ended. Whose it is of
// those who are no identity is seen when the owner comes: see [endpoint.Unbound].
func (r *registrar) restore(l lease.Lease) (*lease.Handle, error) {
	if err := r.mayRestore(l); err != nil {
		return nil, err
	}
	if policy.CheckName(l.Name) != nil || r.leases.MayName(l.Key, l.Identity, l.Name) != nil {
		l.Name = "" // somebody else's by now, or nobody's
	}
	o, err := r.openRestored(l)
	if err != nil {
		return nil, err
	}
	e := r.lease(o, l)
	if _, err := r.leases.Acquire(e.Lease); err != nil {
		e.Discard()
		return nil, err
	}
	return e.Lease, r.start(e, o)
}

// openRestored opens the port of a lease. If another program has it the port is opened as
// soon as that lets go of it.
func (r *registrar) openRestored(l lease.Lease) (*opened, error) {
	owner := endpoint.Unbound
	if l.Identity != "" {
		owner = ownerOf(l.Identity)
	}
	listener, err := r.ports.OpenOne(l.Port, owner)
	late := sockerr.Is(err, syscall.EADDRINUSE)
	if late {
		r.log.Warn("another program has a leased port: it is tried again for as long as the lease stands", "port", l.Port, "error", err)
		listener, err = r.ports.OpenLate(l.Port, r.log)
	}
	if errors.Is(err, lease.ErrPortTaken) {
		err = observe.WithReason(errors.New("another lease has the port by now"), observe.PortTaken)
	}
	if err != nil {
		return nil, err
	}
	if err := r.admission.AcquireTunnelDescriptors(); err != nil {
		_ = listener.Close()
		r.ports.Free(l.Port)
		return nil, err
	}
	release := func() {}
	if l.Identity != "" {
		release, _ = r.admission.AdmitTunnel(l.Identity, math.MaxInt, admission.Source{}) // cannot be too many
	}
	o := r.newOpened(l.Port, listener, r.admission.Accounts.Open(owner, l.Port, release), admission.Source{}, owner)
	if late {
		o.Ready = func() bool { return lease.IsOpen(listener) }
	}
	return o, nil
}
