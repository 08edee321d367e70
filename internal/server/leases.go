package server

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
)

// How long a port is kept while nobody serves it, unless Config says otherwise: an
// owner who is known gets over a weekend's repair, anybody over a restart.
const (
	defaultLease         = 5 * time.Minute
	defaultIdentityLease = 24 * time.Hour
)

// defaultEvictAfter is time enough for any restart: one who is back by then finds its
// port, whatever others do who share its address.
const defaultEvictAfter = time.Minute

// holding is a lease whose port is open. It is guarded by the port.
type holding struct {
	lease.Lease
	keep  time.Duration
	away  time.Time   // since when nobody serves the port, while Until is not zero
	timer *time.Timer // runs while nobody serves the port
	// unwatch ends the watch over the identity meanwhile, if there is one.
	unwatch func()
	saved   lease.Lease
	// unkept says that the next start need not know of it; see keepLease.
	unkept bool
	// superseded are the processes that others with the same key have taken over
	// from: one that was frozen, and wakes up, must not take the port back. The
	// last few are enough; each was once served.
	superseded []string
}

const maxSuperseded = 16

// served notes that t serves the port, in place of old, if that is not nil.
func (h *holding) served(t, old *tunnel) {
	if h == nil {
		return
	}
	h.rest()
	h.Until = time.Time{}
	h.supersede(old, t.instance)
}

// supersede notes that old, if that is not nil, has been taken over from.
func (h *holding) supersede(old *tunnel, by string) {
	if old == nil || old.instance == "" || old.instance == by {
		return
	}
	h.superseded = append(h.superseded, old.instance)
	if len(h.superseded) > maxSuperseded {
		h.superseded = h.superseded[1:]
	}
}

// rest ends what goes on while nobody serves the port.
func (h *holding) rest() {
	if h.timer != nil {
		h.timer.Stop()
	}
	if h.unwatch != nil {
		h.unwatch()
		h.unwatch = nil
	}
}

// storeLogInterval is how often a store that fails is logged about.
const storeLogInterval = 10 * time.Second

// leases are the ports that owners may have back.
type leases struct {
	store lease.Store
	log   *slog.Logger
	often rate.Sometimes // to log that the store fails: a disk that is full fails for all
	// saving is held while a lease is saved or deleted, so that what is kept is how
	// it was last: for each key the same one of these, and mostly another one for
	// another key, as a store may write many at once.
	saving [64]sync.Mutex

	mu    sync.Mutex // guards what follows
	ports map[lease.Key]*publicPort
	names map[ownName]lease.Key
	// shelved are leases of which no port may be opened now, by keys that have no other.
	shelved map[lease.Key]lease.Lease
}

// ownName is a name, and whose: each identity has names of its own.
type ownName struct{ identity, name string }

func newLeases(store lease.Store, log *slog.Logger) *leases {
	return &leases{
		store: store, log: log, often: rate.Sometimes{First: 1, Interval: storeLogInterval},
		ports: make(map[lease.Key]*publicPort), names: make(map[ownName]lease.Key), shelved: make(map[lease.Key]lease.Lease),
	}
}

var errNameTaken = errors.New("another tunnel has this name")

// find gives the port that is leased, or nil.
func (l *leases) find(k lease.Key) *publicPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ports[k]
}

// enter makes p the port of its lease. It gives the one that there is already, if
// somebody was quicker, and fails if another lease has the name.
func (l *leases) enter(p *publicPort) (*publicPort, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := p.lease
	if other := l.ports[h.Key]; other != nil {
		return other, nil
	}
	if err := l.takeNameLocked(h.Lease); err != nil {
		return nil, err
	}
	l.ports[h.Key] = p
	delete(l.shelved, h.Key)
	return p, nil
}

func (l *leases) takeNameLocked(of lease.Lease) error {
	if err := l.mayNameLocked(of.Key, of.Identity, of.Name); err != nil {
		return err
	}
	if of.Name != "" {
		l.names[ownName{of.Identity, of.Name}] = of.Key
	}
	return nil
}

// mayName tells whether a lease may have a name.
func (l *leases) mayName(k lease.Key, identity, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mayNameLocked(k, identity, name)
}

func (l *leases) mayNameLocked(k lease.Key, identity, name string) error {
	if other, taken := l.names[ownName{identity, name}]; taken && other != k {
		return errNameTaken
	}
	return nil
}

// rename gives a lease another name. One that has ended meanwhile leaves the name.
func (l *leases) rename(p *publicPort, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.ports[p.lease.Key] != p {
		return errLeaseOver
	}
	old := ownName{p.lease.Identity, p.lease.Name}
	if old.name == name {
		return nil
	}
	renamed := p.lease.Lease
	renamed.Name = name
	if err := l.takeNameLocked(renamed); err != nil {
		return err
	}
	delete(l.names, old)
	p.lease.Name = name
	return nil
}

// save keeps the lease for the next start. A relay that cannot is no worse than one
// that remembers nothing, and says so.
func (l *leases) save(p *publicPort) {
	h := p.lease
	if h.unkept {
		return
	}
	p.mu.Lock()
	key := h.Key
	p.mu.Unlock()
	saving := l.savingOf(key)
	saving.Lock()
	defer saving.Unlock()
	p.mu.Lock()
	now, same, ended := h.Lease, h.Lease == h.saved, p.reason != nil
	p.mu.Unlock()
	if ended || same || now.Key != key { // it has passed to another one, under which it is saved
		return
	}
	if err := l.store.Save(now); err != nil {
		l.often.Do(func() {
			l.log.Error("the lease of a port cannot be saved: it will be lost when the relay is started again", "port", p.number, "error", err)
		})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.Key == key {
		h.saved = now
	}
}

func (l *leases) savingOf(k lease.Key) *sync.Mutex { return &l.saving[int(k[0])%len(l.saving)] }

// mostAtOnce is how many leases are saved at a time when there are many: a store writes
// those together.
const mostAtOnce = 64

// atOnce saves many leases.
func atOnce[T any](leases []T, save func(T)) {
	var saving sync.WaitGroup
	places := make(chan struct{}, mostAtOnce)
	for _, l := range leases {
		places <- struct{}{}
		saving.Go(func() {
			defer func() { <-places }()
			save(l)
		})
	}
	saving.Wait()
}

// forget ends the lease of a port that has ended for the given reason. While the
// relay shuts down it is kept for its next start.
func (l *leases) forget(p *publicPort, reason error) {
	h := p.lease
	if h == nil {
		return
	}
	l.mu.Lock()
	ours := l.ports[h.Key] == p
	p.mu.Lock()
	if ours {
		delete(l.ports, h.Key)
		delete(l.names, ownName{h.Identity, h.Name})
	}
	h.rest()
	p.mu.Unlock()
	l.mu.Unlock()
	if !ours || h.unkept || errors.Is(reason, errDraining) {
		return
	}
	l.drop(h.Key, p.number)
}

// drop has the store forget the lease of a key, unless there is another one.
func (l *leases) drop(k lease.Key, port int) {
	saving := l.savingOf(k)
	saving.Lock()
	defer saving.Unlock()
	if l.find(k) != nil {
		return // it is somebody's again, who saves it
	}
	if err := l.store.Delete(k); err != nil {
		l.often.Do(func() { l.log.Error("the lease of a port cannot be deleted", "port", port, "error", err) })
	}
}

// keepLease tells whether a new lease is to be kept for the next start.
func (s *Server) keepLease(i Identity, source admission.Source) bool {
	return i.Name != "" || s.admission.AllowSavedLease(source)
}

// successor gives what the lease of p hands on to one that instance opens in its
// place: who has been taken over from.
func (p *publicPort) successor(instance string) (superseded []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := holding{superseded: slices.Clone(p.lease.superseded)}
	h.supersede(p.tunnel, instance)
	return h.superseded
}

// superseded tells whether a process has been taken over from, by one that is there.
func (p *publicPort) superseded(instance string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return instance != "" && p.tunnel != nil && p.tunnel.instance != instance && slices.Contains(p.lease.superseded, instance)
}
