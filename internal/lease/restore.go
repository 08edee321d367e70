package lease

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// Restore has open called for the leases that stood when the relay ended, before
// anybody else can have their ports. Users who come there wait for the owners. A lease
// is kept if its port may not be opened now: the mistake may be in how the relay was
// started. From now on nobody serves the leases, and the next start has to know since
// when: that is what save writes. Leases that are there already are left as they are.
func (r *Registry) Restore(open func(Lease) (*Handle, error)) (save func()) {
	saved, err := r.config.Store.Load()
	if err != nil {
		r.config.Log.Error("some leases cannot be read: their owners will get other ports", "error", err)
	}
	now := time.Now()
	r.sortByLeaving(saved, now)
	var restored []*Handle
	var shelved []Lease
	closed := make(closedPorts)
	for _, l := range saved {
		if h := r.inherited(l); h != nil {
			restored = append(restored, h)
			continue
		}
		places := r.standing(l, now)
		if len(places) == 0 {
			_ = r.config.Store.Delete(l.Key) // it will be tried at the next start too
			r.config.Events.Observe(l.EndEvent(ErrExpired))
			continue
		}
		h, err := r.restoreOne(l, places, open)
		if err == nil {
			restored = append(restored, h)
			continue
		}
		closed.add(l, err)
		l = l.At(places[0], places[1:])
		shelved = append(shelved, l)
		r.mu.Lock()
		r.shelved[l.Key] = l
		r.mu.Unlock()
	}
	r.withholdClosed(restored, shelved)
	r.logClosed(closed)
	return func() {
		atOnce(restored, (*Handle).Save)
		atOnce(shelved, r.saveShelved)
	}
}

// sortByLeaving puts first the leases whose owners were there when the relay ended, and
// then the one whose owner left last: if two have had one port, after starts of the
// relay that could open it for one of them only, that one gets it.
func (r *Registry) sortByLeaving(leases []Lease, now time.Time) {
	left := func(l Lease) time.Time {
		if l.Until.IsZero() {
			return now
		}
		return l.Until.Add(-r.ttl(l.Identity))
	}
	slices.SortStableFunc(leases, func(a, b Lease) int { return left(b).Compare(left(a)) })
}

// standing returns the ports of a lease whose time is not over, the last one first. From
// now on all have an end.
func (r *Registry) standing(l Lease, now time.Time) (places []Place) {
	longest := now.Add(r.ttl(l.Identity))
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
func (r *Registry) restoreOne(l Lease, places []Place, open func(Lease) (*Handle, error)) (h *Handle, why error) {
	for i, place := range places {
		others := slices.Concat(places[:i], places[i+1:])
		h, err := open(l.At(place, others))
		if err == nil {
			if err = h.restore(l); err != nil {
				h.ended(err)
			}
		}
		if err == nil {
			if i > 0 {
				r.config.Log.Info("a lease has an earlier port again", "port", place.Port, "insteadOf", l.Port, "reason", string(observe.ReasonOf(why)), "error", why)
			}
			return h, nil
		}
		if why == nil {
			why = err
		}
	}
	return nil, why
}

// restore has a lease be away that the store has as saved.
func (h *Handle) restore(saved Lease) error {
	h.registry.mu.Lock()
	h.unsaved = h.lease != saved
	until := h.lease.Until
	h.registry.mu.Unlock()
	return h.awayUntil(until)
}

// withholdClosed has ports that were not opened given to others last, and to nobody who
// asks for one and has no better right to it than that.
func (r *Registry) withholdClosed(restored []*Handle, shelved []Lease) {
	closed := make([]Place, 0, len(shelved))
	for _, l := range shelved {
		closed = append(closed, l.Places()...)
	}
	for _, h := range restored {
		closed = append(closed, h.Lease().Places()[1:]...)
	}
	for _, place := range closed {
		r.config.Ports.Withhold(place.Port, place.Until)
	}
}

// closedPorts are leased ports that a start of the relay could not open, by the reason and
// the text of the error.
type closedPorts map[[2]string][]string

// add notes the port of a lease, and why.
func (c closedPorts) add(of Lease, why error) {
	// One text for all whom it concerns.
	reason := [2]string{string(observe.ReasonOf(why)), strings.TrimPrefix(why.Error(), of.Identity+": ")}
	c[reason] = append(c[reason], fmt.Sprint(of.Port))
}

// maxListed is how many of those ports a line of the log names.
const maxListed = 10

// logClosed says how many there are, and why.
func (r *Registry) logClosed(closed closedPorts) {
	for reason, ports := range closed {
		slices.Sort(ports)
		r.config.Log.Warn("leased ports stay closed: each is kept for a start of the relay that can open it, until the time of its lease is over",
			"leases", len(ports), "ports", strings.Join(ports[:min(len(ports), maxListed)], ","), "reason", reason[0], "error", reason[1])
	}
}
