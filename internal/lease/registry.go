package lease

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/observe"
)

// ErrNameTaken is why a lease cannot have the name that it asks for.
var ErrNameTaken = errors.New("another tunnel has this name")

// Config is what a Registry is made of. All of it is needed.
type Config struct {
	Store  Store
	Ports  *Ports
	Log    *slog.Logger
	Events observe.Sink // gets the leases that have ended while the relay was down
	// TTL is how long a lease stands while its owner is away, and IdentityTTL the same
	// for owners who are known.
	TTL, IdentityTTL time.Duration
	// Watch is called for the lease of an identity that is away. It has ended called,
	// once, when the identity may not have the port any more, and stop ends that. If
	// that is so by now it returns the reason as an error, and nothing to stop.
	Watch func(identity string, port int, ended func(reason error)) (stop func(), err error)
}

// Registry knows who owns which address. It decides alone whether a lease is active,
// away or ended. Its methods, and those of its handles, may be called concurrently and
// under the lock of an endpoint: the Registry calls nobody with its own lock held.
type Registry struct {
	config              Config
	anyTTL, identityTTL atomic.Int64   // Config.TTL and IdentityTTL, as they are now
	often               rate.Sometimes // to log that the store fails
	// saving is held while a lease is saved or deleted, so that the store keeps its last
	// state: for each key always the same one of these, and mostly another one for another
	// key, as a store may write many at once.
	saving [64]sync.Mutex

	mu      sync.Mutex // guards what follows, and the handles
	handles map[Key]*Handle
	names   map[ownName]Key
	away    absent
	// shelved are leases of which no port may be opened now, by keys that have no other: a
	// relay that is started again as it was before has them back. Until the time of one is
	// over, its owner may have another port beside.
	shelved map[Key]Lease
	failure error     // why the store could not be written last; nil is that it could
	failing time.Time // since when
}

// ownName is a name, and whose: each identity has names of its own.
type ownName struct{ identity, name string }

// absent are the leases that are away, by owner.
type absent map[string]map[*Handle]struct{}

func (a absent) add(h *Handle) {
	if a[h.owner] == nil {
		a[h.owner] = make(map[*Handle]struct{})
	}
	a[h.owner][h] = struct{}{}
}

func (a absent) remove(h *Handle) {
	delete(a[h.owner], h)
	if len(a[h.owner]) == 0 {
		delete(a, h.owner)
	}
}

// storeLogInterval is how often a store that fails is logged about.
const storeLogInterval = 10 * time.Second

// NewRegistry returns a Registry without leases.
func NewRegistry(c Config) *Registry {
	r := &Registry{
		config: c, often: rate.Sometimes{First: 1, Interval: storeLogInterval},
		handles: make(map[Key]*Handle), names: make(map[ownName]Key),
		away: make(absent), shelved: make(map[Key]Lease),
	}
	r.SetTTL(c.TTL, c.IdentityTTL)
	return r
}

// SetTTL has leases stand for other times than those of Config: the next time that each is
// away. A lease that is away already ends when it was to end.
func (r *Registry) SetTTL(ttl, identityTTL time.Duration) {
	r.anyTTL.Store(int64(ttl))
	r.identityTTL.Store(int64(identityTTL))
}

// New returns a lease of owner that is not acquired yet. If the lease ends while it is
// away the Registry calls ended with the reason, and its endpoint is to close.
func (r *Registry) New(l Lease, owner string, ended func(reason error)) *Handle {
	return &Handle{registry: r, ended: ended, lease: l, unsaved: true, owner: owner}
}

func (r *Registry) ttl(identity string) time.Duration {
	if identity != "" {
		return time.Duration(r.identityTTL.Load())
	}
	return time.Duration(r.anyTTL.Load())
}

// Find returns the lease of a key, or nil.
func (r *Registry) Find(k Key) *Handle {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.handles[k]
}

// Acquire makes h the lease of its key. If another relay client was quicker, it returns
// the lease that there is. It fails if another lease has the name, or h has ended.
func (r *Registry) Acquire(h *Handle) (*Handle, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.over != nil {
		return nil, h.over
	}
	if other := r.handles[h.lease.Key]; other != nil {
		return other, nil
	}
	if err := r.takeNameLocked(h.lease); err != nil {
		return nil, err
	}
	r.handles[h.lease.Key] = h
	delete(r.shelved, h.lease.Key)
	return h, nil
}

// MayName returns ErrNameTaken if a lease may not have a name.
func (r *Registry) MayName(k Key, identity, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mayNameLocked(k, identity, name)
}

func (r *Registry) mayNameLocked(k Key, identity, name string) error {
	if other, taken := r.names[ownName{identity, name}]; taken && other != k {
		return ErrNameTaken
	}
	return nil
}

func (r *Registry) takeNameLocked(of Lease) error {
	if err := r.mayNameLocked(of.Key, of.Identity, of.Name); err != nil {
		return err
	}
	if of.Name != "" {
		r.names[ownName{of.Identity, of.Name}] = of.Key
	}
	return nil
}

// Away returns the leases of an owner that are away, the one that ends first at the
// front.
func (r *Registry) Away(owner string) []*Handle {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Keys(r.away[owner]), func(a, b *Handle) int { return a.lease.Until.Compare(b.lease.Until) })
}

// Before returns the ports that a key has a right to and that could not be opened when
// the relay was started, for the lease on another port that it gets now.
func (r *Registry) Before(k Key, port int) (before []Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, ok := r.shelved[k]
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
