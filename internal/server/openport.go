package server

import (
	"errors"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/entry"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/port"
)

// opened is a public port that is open, and that is no endpoint's yet.
type opened struct {
	endpoint.Place
	port *entry.Port
}

// newOpened returns a port for which descriptors were taken.
func (r *registrar) newOpened(number int, l conn.Listener, account *admission.Account, source admission.Source, owner string) *opened {
	return r.newOpenedAt(entry.NewPort(r.entries, number, l), number, l, account, source, owner)
}

func (r *registrar) newOpenedAt(p *entry.Port, number int, l conn.Listener, account *admission.Account, source admission.Source, owner string) *opened {
	r.listeners.set(number, portListener{p, l})
	return &opened{
		port: p,
		Place: endpoint.Place{
			Port: number, Account: account, Source: source, Owner: owner,
			Free: func(owner string, reason error) {
				r.listeners.remove(number, p)
				p.Close()
				r.succession.freed(number, owner)
				r.admission.ReleaseTunnelDescriptors()
				switch {
				case errors.Is(reason, lease.ErrExpired):
					r.ports.Free(number)
				case errors.As(reason, new(lease.Revoked)):
					r.ports.Release(number, lease.NoOwner)
				default:
					r.ports.Release(number, owner)
				}
			},
		},
	}
}

// open opens a public port: the one that is wanted, or any. Owners are those whose ports
// it may be.
func (r *registrar) open(a *applicant, wanted int, owners []string) (*opened, error) {
	if err := r.admission.AcquireTunnelDescriptors(); err != nil {
		return nil, err
	}
	o, err := r.reopen(a, wanted, owners)
	if o == nil && err == nil {
		o, err = r.openNew(a, wanted, owners)
	}
	if err != nil {
		r.admission.ReleaseTunnelDescriptors()
	}
	return o, err
}

// reopen opens a port that users of an earlier tunnel of the same owner hold, if there is
// one that it may have: it counts already.
func (r *registrar) reopen(a *applicant, wanted int, owners []string) (*opened, error) {
	numbers := []int{wanted}
	if wanted == 0 {
		if a.Name == "" {
			return nil, nil // which port it gets is nobody's to guess
		}
		numbers = r.admission.Accounts.ClosedPorts(owners[0])
	}
	for _, number := range numbers {
		if !r.mayHave(a.Identity, number) {
			continue
		}
		account := r.admission.Accounts.Resume(owners[0], number)
		if account == nil {
			continue
		}
		listener, err := r.ports.OpenOne(number, owners...)
		if err == nil {
			return r.newOpened(number, listener, account, a.source, owners[0]), nil
		}
		r.admission.Accounts.Close(account)
		if wanted != 0 {
			r.admission.Counters.Add(admission.NoPort)
			return nil, err
		}
	}
	return nil, nil
}

// openNew opens a port that is counted now.
func (r *registrar) openNew(a *applicant, wanted int, owners []string) (*opened, error) {
	release, err := r.admission.AdmitTunnel(a.Name, a.Tunnels, a.source)
	// The lease of an address that is away longest gives way to what the address opens now,
	// and to nothing that others of its network have. For identities see reclaim.
	if errors.Is(err, admission.ErrTunnelsPerSource) && r.evict(a) {
		release, err = r.admission.AdmitTunnel(a.Name, a.Tunnels, a.source)
	}
	if err != nil {
		return nil, err
	}
	var listener conn.Listener
	number := wanted
	switch {
	case wanted != 0:
		listener, err = r.ports.OpenOne(wanted, owners...)
	case a.Ports != nil:
		listener, number, err = r.ports.Open(a.Ports, owners...)
	default:
		listener, number, err = r.ports.Open(port.Set{r.config.Load().Ports}, owners...)
	}
	if err != nil {
		release()
		r.admission.Counters.Add(admission.NoPort)
		return nil, err
	}
	account := r.admission.Accounts.Open(owners[0], number, release)
	return r.newOpened(number, listener, account, a.source, owners[0]), nil
}

// openShelved opens a port that a key has a right to, if one that was in the way when the
// relay was started is not any more, and the applicant wants it. Without one it returns
// nil.
func (r *registrar) openShelved(a *applicant, key lease.Key) *opened {
	for _, place := range r.leases.Before(key, 0) {
		if !r.mayHave(a.Identity, place.Port) || !a.wants(place.Port) {
			continue
		}
		// It is kept as one that nobody may have back. If it cannot be opened now it goes
		// on to be.
		if o, err := r.open(a, place.Port, append(a.owners(), lease.NoOwner)); err == nil {
			return o
		}
	}
	return nil
}
