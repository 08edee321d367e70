package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/entry"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// How long a port is kept while nobody serves it, unless Config says otherwise: an
// owner who is known gets over a weekend's repair, anybody over a restart.
const (
	defaultLease         = 5 * time.Minute
	defaultIdentityLease = 24 * time.Hour
)

// registrar finds the endpoint for each registration: the one of its lease, or a new one.
type registrar struct {
	config    *atomic.Pointer[Config]
	log       *slog.Logger
	events    observe.Sink
	admission *admission.Controller
	ports     *lease.Ports
	leases    *lease.Registry
	endpoints *endpoint.Group
	entries   *entry.Config

	listeners  listeners // of the open public ports
	succession *succession
}

// applicant is a relay client that registers, and what it asks for.
type applicant struct {
	auth.Identity
	source admission.Source
	wish   wire.Preamble
}

// owner returns whose ports the applicant has: an identity's, or else an address's, the
// same one for all who share it.
func (a *applicant) owner() string {
	if a.Name != "" {
		return ownerOf(a.Name)
	}
	return "address " + a.source.String()
}

// holder returns who has the applicant's share of what all tunnels share, or "" if it comes
// from an address that strangers share.
func (a *applicant) holder() string {
	if a.Name == "" && a.source.IsShared() {
		return ""
	}
	return a.owner()
}

// ownerOf returns the owner of the ports of an identity.
func ownerOf(identity string) string { return "identity " + identity }

// owners returns whose ports the applicant may have: its own first, and if the operator
// has given it certain ones, those that nobody may have back.
func (a *applicant) owners() []string {
	owners := []string{a.owner()}
	if a.Ports != nil {
		owners = append(owners, lease.NoOwner)
	}
	return owners
}

// key returns the key of the applicant's lease, which it may have with others of a group.
func (a *applicant) key() lease.Key {
	if a.wish.Group != "" {
		return lease.GroupKeyOf(a.Name, a.wish.Group)
	}
	return a.process().Key
}

// process returns by what the applicant is known among those who may serve its lease.
func (a *applicant) process() lease.Process {
	if a.wish.Lease == "" {
		return lease.Process{}
	}
	return lease.Process{Key: lease.KeyOf(a.Name, a.wish.Lease), Instance: a.wish.Instance}
}

// tunnelName returns what people call the tunnel: by its group, or by the name that it has asked
// for.
func (a *applicant) tunnelName() string { return cmp.Or(a.wish.Group, a.wish.Name) }

// terms returns what the applicant is to have in common with others of its group.
func (a *applicant) terms() endpoint.Terms {
	return endpoint.Terms{Balance: a.wish.Balance, Port: a.wish.Port, Policy: a.wish.Policy}
}

// wants reports whether the applicant has asked for a port, or for any.
func (a *applicant) wants(port int) bool { return a.wish.Port == 0 || a.wish.Port == port }

// mayHave reports whether an identity may have a port, asked for or not.
func (r *registrar) mayHave(i auth.Identity, number int) bool {
	if i.Ports == nil {
		return r.config.Load().Ports.Contains(number)
	}
	return i.Ports.Contains(number)
}

// mayAskFor returns an error if the applicant may not name the port that it wants. A
// relay that is open to everybody gives anybody what is free.
func (r *registrar) mayAskFor(a *applicant) error {
	wanted := a.wish.Port
	switch {
	case wanted == 0, a.Name == "" && r.config.Load().Ports.Contains(wanted), a.Name != "" && a.Ports.Contains(wanted):
		return nil
	case a.Name == "":
		return fmt.Errorf("you %w %d: it is none of %s", errForbiddenPort, wanted, r.config.Load().Ports)
	case a.Ports != nil:
		return fmt.Errorf("your token or certificate %w %d: it is none of %s, which its line has", errForbiddenPort, wanted, a.Ports)
	}
	return fmt.Errorf("your token or certificate %w %d: leave out --port, or have ports= added to its line", errForbiddenPort, wanted)
}

// find returns the endpoint of the applicant's lease, or opens one. The applicant serves
// it, or CloseIfUnbound has to follow.
func (r *registrar) find(a *applicant) (*endpoint.Endpoint, error) {
	if err := r.mayAskFor(a); err != nil {
		return nil, err
	}
	if a.wish.Lease == "" {
		o, err := r.open(a, a.wish.Port, a.owners())
		if err != nil {
			return nil, err
		}
		e := r.endpoints.New(o.Place)
		return e, r.start(e, o)
	}
	key := a.key()
	old := r.leased(r.leases.Find(key))
	if old != nil {
		if err := r.mayServe(old, a); err != nil {
			return nil, err
		}
	}
	if old != nil && a.wants(old.Port) && r.mayHave(a.Identity, old.Port) {
		if old.Ready != nil && !old.Ready() {
			return nil, errNotOpen
		}
		err := r.resume(old, a)
		if err == nil || errors.Is(err, lease.ErrNameTaken) {
			return old, err
		}
		old = nil // its lease is over, since a moment ago
	}
	if err := r.leases.MayName(key, a.Name, a.tunnelName()); err != nil {
		return nil, err
	}
	return r.openLeased(a, key, old)
}

// mayServe returns an error if others keep the applicant from serving its lease.
func (r *registrar) mayServe(e *endpoint.Endpoint, a *applicant) error {
	if e.Lease.Superseded(a.process()) {
		return errSuperseded
	}
	return e.Admit(a.process().Key, a.wish.Group, a.terms())
}

// leased returns the endpoint of a lease, or nil if there is no lease or its endpoint has
// just closed.
func (r *registrar) leased(h *lease.Handle) *endpoint.Endpoint {
	if h == nil {
		return nil
	}
	if e := r.endpoints.At(h.Port()); e != nil && e.Lease == h {
		return e
	}
	return nil
}

// resume gives the owner of a lease its endpoint. It fails if the owner may not have the
// name, or the lease is over.
func (r *registrar) resume(e *endpoint.Endpoint, a *applicant) error {
	if err := e.Lease.Resume(); err != nil {
		return err
	}
	err := e.BindOwner(a.owner(), a.source)
	if err == nil {
		err = e.Lease.Rename(a.tunnelName())
	}
	if err != nil {
		e.CloseIfUnbound(err)
	}
	return err
}

// openLeased opens an endpoint for the owner of a lease key, in place of the old one if
// there is one: the owner wants, or has to have, another port.
func (r *registrar) openLeased(a *applicant, key lease.Key, old *endpoint.Endpoint) (*endpoint.Endpoint, error) {
	o := r.openShelved(a, key)
	if o == nil {
		var err error
		if o, err = r.open(a, a.wish.Port, a.owners()); err != nil {
			return nil, err
		}
	}
	is := lease.Lease{Key: key, Name: a.tunnelName(), Identity: a.Name, Group: a.wish.Group}
	e := r.lease(o, is.At(lease.Place{Port: o.Port}, r.leases.Before(key, o.Port)))
	e.Lease.Ephemeral = a.Name == "" && !r.admission.AllowSavedLease(a.source)
	if old != nil {
		e.Lease.Succeed(old.Lease, a.process())
		old.CloseFor(a.owner(), errMoved)
	}
	winner, err := r.leases.Acquire(e.Lease)
	if err != nil || winner != e.Lease {
		e.Discard()
		if e = r.leased(winner); e == nil && err == nil {
			err = lease.ErrExpired // since a moment ago
		}
		return e, err
	}
	if err := r.start(e, o); err != nil {
		return nil, err
	}
	e.Lease.Save()
	return e, nil
}

// lease returns an endpoint with a lease that is yet to be acquired.
func (r *registrar) lease(o *opened, l lease.Lease) *endpoint.Endpoint {
	var e *endpoint.Endpoint
	o.Lease = r.leases.New(l, o.Owner, func(reason error) { e.Close(reason) })
	e = r.endpoints.New(o.Place)
	return e
}

// start has users enter an endpoint at its port.
func (r *registrar) start(e *endpoint.Endpoint, o *opened) error {
	return e.Start(func(ctx context.Context) error { return o.port.Serve(ctx, entry.Always(e)) })
}

// Why there is no port, or not any more.
var (
	errForbiddenPort = errors.New("may not ask for port")
	errSuperseded    = errors.New("another relay client with the same lease key has taken over from this one, and is there")
	errMoved         = observe.WithReason(errors.New("its owner has moved to another port"), observe.LeaseMoved)
	errNotOpen       = errors.New("your port is not open yet, as another program has it; the relay tries on, so try again")
	errNotTold       = observe.WithReason(errors.New("the relay client could not be told"), observe.AnswerFailed)
)
