package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
)

// shelve keeps a lease of which no port may be opened now: a relay that is started
// again as it was before has it back. Until its time is over, its owner may have
// another port beside.
func (l *leases) shelve(of lease.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shelved[of.Key] = of
}

// before gives the ports that a key has a right to that could not be opened when the
// relay was started, for the lease on another port that it gets now.
func (l *leases) before(k lease.Key, port int) (before []lease.Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, ok := l.shelved[k]
	if !ok {
		return nil
	}
	for _, place := range of.Places() {
		if place.Port != port && time.Now().Before(place.Until) {
			before = append(before, place)
		}
	}
	return before
}

// openShelved opens a port that a key has a right to, if one that was in the way when
// the relay was started is not any more, and it is the one that is wanted, if there is
// such.
func (s *Server) openShelved(i Identity, source admission.Source, wanted int, key lease.Key) *publicPort {
	for _, place := range s.leases.before(key, 0) {
		if !s.mayHave(i, place.Port) || wanted != 0 && wanted != place.Port {
			continue
		}
		// It is kept as one that nobody may have back. If it cannot be opened now it goes
		// on to be.
		owners := append(ownersOf(i, source), lease.NoOwner)
		if p, err := s.openPort(i, source, place.Port, owners); err == nil {
			return p
		}
	}
	return nil
}

// saveShelved keeps for the next start since when nobody serves a lease, unless its
// owner has come.
func (l *leases) saveShelved(of lease.Lease) {
	saving := l.savingOf(of.Key)
	saving.Lock()
	defer saving.Unlock()
	l.mu.Lock()
	_, still := l.shelved[of.Key]
	l.mu.Unlock()
	if !still {
		return
	}
	if err := l.store.Save(of); err != nil {
		l.often.Do(func() {
			l.log.Error("a lease cannot be saved: it may stand for too long", "port", of.Port, "error", err)
		})
	}
}

// closedPorts are leased ports that a start of the relay could not open, by the reason.
type closedPorts map[string][]string

// add notes the port of a lease, and why.
func (c closedPorts) add(of lease.Lease, why error) {
	reason := strings.TrimPrefix(why.Error(), of.Identity+": ") // one for all whom it concerns
	c[reason] = append(c[reason], fmt.Sprint(of.Port))
}

// mostListed is how many of those ports a line of the log names.
const mostListed = 10

// logClosed says how many there are, and why.
func (s *Server) logClosed(closed closedPorts) {
	for reason, ports := range closed {
		slices.Sort(ports)
		s.log.Warn("leased ports stay closed: each is kept for a start of the relay that can open it, until the time of its lease is over",
			"leases", len(ports), "ports", strings.Join(ports[:min(len(ports), mostListed)], ","), "reason", reason)
	}
}
