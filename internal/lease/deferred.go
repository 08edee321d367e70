package lease

import (
	"errors"
	"sync"
)

// Deferred is a Store that can be closed for a while, for another process to have what it
// stands on. What is to be saved meanwhile is saved when it is open again. Make it with Defer.
type Deferred struct {
	reopen func() (Store, error)

	use sync.RWMutex // held while a store is used, and to close or to open it

	mu        sync.Mutex // guards what follows
	store     Store      // or nil
	abandoned bool
	missed    map[Key]*Lease // nil is a lease to delete
}

var _ Store = (*Deferred)(nil)

// Defer returns a Deferred that is open with store, and that reopen opens again.
func Defer(store Store, reopen func() (Store, error)) *Deferred {
	return &Deferred{store: store, reopen: reopen, missed: make(map[Key]*Lease)}
}

// Suspend closes the store. When it returns, what was saved is written.
func (d *Deferred) Suspend() error {
	d.use.Lock()
	defer d.use.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	store := d.store
	if d.store = nil; store == nil {
		return nil
	}
	return store.Close()
}

// Resume opens the store, and saves what was to be saved meanwhile.
func (d *Deferred) Resume() error {
	d.use.Lock()
	defer d.use.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store != nil || d.abandoned {
		return nil
	}
	store, err := d.reopen()
	if err != nil {
		return err
	}
	d.store = store
	for k, l := range d.missed {
		if l == nil {
			err = errors.Join(err, store.Delete(k))
		} else {
			err = errors.Join(err, store.Save(*l))
		}
	}
	clear(d.missed)
	return err
}

// Abandon has the store never be opened again, and nothing be saved: another process does
// that.
func (d *Deferred) Abandon() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.abandoned = true
	clear(d.missed)
}

// Load returns all leases that were saved.
func (d *Deferred) Load() ([]Lease, error) {
	d.use.RLock()
	defer d.use.RUnlock()
	if store := d.open(); store != nil {
		return store.Load()
	}
	return nil, errSuspended
}

// Save keeps l, now or when the store is open again.
func (d *Deferred) Save(l Lease) error {
	d.use.RLock()
	defer d.use.RUnlock()
	if store := d.open(); store != nil {
		return store.Save(l)
	}
	d.miss(l.Key, &l)
	return nil
}

// Delete forgets a lease, now or when the store is open again.
func (d *Deferred) Delete(k Key) error {
	d.use.RLock()
	defer d.use.RUnlock()
	if store := d.open(); store != nil {
		return store.Delete(k)
	}
	d.miss(k, nil)
	return nil
}

// Close ends the use of the store.
func (d *Deferred) Close() error {
	err := d.Suspend()
	d.Abandon()
	return err
}

var errSuspended = errors.New("the leases are another process's at the moment")

func (d *Deferred) open() Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.store
}

func (d *Deferred) miss(k Key, l *Lease) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.abandoned {
		d.missed[k] = l
	}
}
