package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// maxReclaimed is how many leases of its own one registration may have give way: one
// has the port that it asks for, one the name, and one is a tunnel too many.
const maxReclaimed = 3

// Why leases end that are in the way of others of their owner.
var (
	errReclaimed = observe.WithReason(errors.New("its token has come with another lease key, and nobody served this port"), observe.LeaseKeyChanged)
	errEvicted   = observe.WithReason(errors.New("its address has other tunnels by now, as many as it may"), observe.LeaseEvicted)
)

// endpointFor returns the endpoint that the applicant owns, or opens one. What its
// identity has itself, and does not serve, is not in its way: a relay client that comes
// without the lease key has mostly lost it.
func (r *registrar) endpointFor(a *applicant) (*endpoint.Endpoint, error) {
	e, err := r.find(a)
	for tries := 0; err != nil && tries < maxReclaimed && r.reclaim(a, err); tries++ {
		e, err = r.find(a)
	}
	if err != nil {
		return nil, r.explainOwn(a, err)
	}
	return e, nil
}

// reclaim has a lease of the applicant's identity that nobody serves give way to what the
// applicant cannot have because of err: the one of that port or that name, or else the
// one that was left alone longest. If its port is what the applicant may have, the lease
// passes to the new key, and users who wait at the port go on waiting; otherwise it
// ends. It reports whether there was one.
func (r *registrar) reclaim(a *applicant, err error) bool {
	if a.Name == "" {
		return false // anybody, who has nothing
	}
	for _, h := range r.leases.Away(a.owner()) {
		e := r.leased(h)
		if e == nil || !r.isInTheWay(e, a, err) {
			continue
		}
		// The same port would come with its users, who count as they are.
		if errors.Is(err, admission.ErrTunnelsPerIdentity) && !a.wants(e.Port) && e.HasUsers() {
			continue
		}
		fits := a.wish.Lease != "" && a.wants(e.Port) && r.mayHave(a.Identity, e.Port)
		if fits && h.Pass(a.key(), a.wish.Group) {
			r.events.Observe(observe.Event{
				Name: observe.LeasePassed, Source: a.source.Prefix(), Tunnel: observe.Tunnel{Port: e.Port, Identity: a.Name},
			})
			return true
		}
		return h.EndAway(errReclaimed)
	}
	return false
}

// isInTheWay reports whether it is because of an endpoint of its own that the applicant
// cannot have what it asks for.
func (r *registrar) isInTheWay(e *endpoint.Endpoint, a *applicant, err error) bool {
	switch {
	case errors.Is(err, lease.ErrNameTaken):
		return e.Lease != nil && e.Lease.Lease().Name == a.tunnelName()
	case errors.Is(err, lease.ErrPortTaken):
		return e.Port == a.wish.Port
	case errors.Is(err, lease.ErrNoPort):
		return r.mayHave(a.Identity, e.Port)
	}
	return errors.Is(err, admission.ErrTunnelsPerIdentity)
}

// explainOwn adds to err whose port it is that the applicant cannot have, if it is its
// own and is being served. Of others nothing is told.
func (r *registrar) explainOwn(a *applicant, err error) error {
	if a.Name == "" {
		return err
	}
	for _, e := range r.endpoints.All() {
		tunnels := e.Tunnels()
		if len(tunnels) == 0 || tunnels[0].Identity != a.Name || !r.isInTheWay(e, a, err) {
			continue
		}
		t := tunnels[0]
		code := refusalOf(err).Code
		if errors.Is(err, lease.ErrPortTaken) || errors.Is(err, lease.ErrNameTaken) {
			code = wire.CodeInUse // which passes: that one may be dead, or give way
		}
		return fmt.Errorf("%w; %w", &wire.Refusal{
			Code: code,
			Text: fmt.Sprintf("%v: %s serves port %d with the same token or certificate, since %s",
				err, t.Addr, e.Port, t.Since.UTC().Format(time.RFC3339)),
		}, err)
	}
	return err
}

// defaultEvictAfter is time enough for any restart: an owner who is back by then finds
// its port, whatever others do who share its address.
const defaultEvictAfter = time.Minute

// evict ends the lease that nobody has served for longest, of those that count against
// the applicant's address, so that a relay client which makes a new key at each start does
// not shut itself out. A lease whose owner has just left is not ended: others may share
// the address. It reports whether there was one.
func (r *registrar) evict(a *applicant) bool {
	for _, h := range r.leases.Away(a.owner()) {
		if e := r.leased(h); e != nil && !e.HasUsers() && h.AwayFor() >= r.config.Load().EvictAfter {
			return h.EndAway(errEvicted)
		}
	}
	return false
}
