package lease

import "sync"

// Save keeps the lease for the next start. A relay that cannot is no worse than one
// that remembers nothing, and says so.
func (h *Handle) Save() {
	r := h.registry
	if h.Ephemeral {
		return
	}
	key := h.Lease().Key
	defer r.lockStored(key)()
	r.mu.Lock()
	now, needed := h.lease, h.unsaved && h.over == nil && h.lease.Key == key // or it is saved under another one
	if needed {
		h.unsaved = false
	}
	r.mu.Unlock()
	if !needed {
		return
	}
	err := r.config.Store.Save(now)
	r.stored("the lease of a port cannot be saved: it will be lost when the relay is started again", now.Port, err)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		h.unsaved = true
	}
}

// saveShelved keeps for the next start since when nobody serves a lease, unless its
// owner has come.
func (r *Registry) saveShelved(of Lease) {
	defer r.lockStored(of.Key)()
	r.mu.Lock()
	_, still := r.shelved[of.Key]
	r.mu.Unlock()
	if !still {
		return
	}
	r.stored("a lease cannot be saved: it may stand for too long", of.Port, r.config.Store.Save(of))
}

// drop has the store forget the lease of a key, unless the key has another one.
func (r *Registry) drop(k Key, port int) {
	defer r.lockStored(k)()
	if r.Find(k) != nil {
		return // it is somebody's again, who saves it
	}
	r.stored("the lease of a port cannot be deleted", port, r.config.Store.Delete(k))
}

// lockStored locks what the store has for a key.
func (r *Registry) lockStored(k Key) (unlock func()) {
	saving := &r.saving[int(k[0])%len(r.saving)]
	saving.Lock()
	return saving.Unlock
}

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
