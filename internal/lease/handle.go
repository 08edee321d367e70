package lease

import (
	"errors"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

// ErrExpired is why a lease ends whose owner does not come back.
var ErrExpired = observe.WithReason(errors.New("its owner was away for as long as the lease stands"), observe.LeaseExpired)

// Revoked is why a lease ends whose owner may not have its port any more.
type Revoked struct{ error }

// Revoke returns reason as a Revoked, with the same text.
func Revoke(reason error) Revoked { return Revoked{reason} }

// Unwrap returns the reason.
func (r Revoked) Unwrap() error { return r.error }

// Handle is a lease of a Registry. It is active while a relay client serves it, or has come
// and is about to; away, until a time; or ended.
type Handle struct {
	// Ephemeral says that the next start need not know of the lease. It is set before the
	// lease is acquired.
	Ephemeral bool

	registry *Registry
	ended    func(reason error)

	// The rest is guarded by registry.mu, but for lease.Port and lease.Identity, which
	// never change.

	lease   Lease
	unsaved bool // the store has it otherwise, if it has it
	owner   string
	fences  fences
	since   time.Time   // when the owner went away
	timer   *time.Timer // runs while the lease is away, and is nil otherwise
	// unwatch ends the watch over the identity meanwhile, if there is one.
	unwatch func()
	over    error // why it has ended
}

// TTL returns how long the lease stands while its owner is away.
func (h *Handle) TTL() time.Duration { return h.registry.ttl(h.lease.Identity) }

// Port returns the public port.
func (h *Handle) Port() int { return h.lease.Port }

// Lease returns the lease as it is now, or was when it ended.
func (h *Handle) Lease() Lease {
	h.registry.mu.Lock()
	defer h.registry.mu.Unlock()
	return h.lease
}

// AwayFor returns for how long the owner has been away.
func (h *Handle) AwayFor() time.Duration {
	h.registry.mu.Lock()
	defer h.registry.mu.Unlock()
	return time.Since(h.since)
}

// Resume keeps the lease from ending between the moment its owner comes and the one in
// which Activate or Away follows: the owner would be told a port that it loses. It fails
// with the reason if the lease has ended.
func (h *Handle) Resume() error {
	h.registry.mu.Lock()
	unwatch, err := h.returnLocked()
	h.registry.mu.Unlock()
	unwatch()
	return err
}

// Activate notes that a process serves the lease, and supersedes the one with its key that
// does so now. It fails with the reason if the lease has ended.
func (h *Handle) Activate(p Process) error {
	h.registry.mu.Lock()
	unwatch, err := h.returnLocked()
	if err == nil {
		h.fences.activate(p)
	}
	h.registry.mu.Unlock()
	unwatch()
	return err
}

// Leave notes that the relay client with a key does not serve the lease any more, which
// others of its group go on to do.
func (h *Handle) Leave(k Key) {
	h.registry.mu.Lock()
	defer h.registry.mu.Unlock()
	h.fences.leave(k)
}

// Superseded reports whether a process was taken over from by one that is there.
func (h *Handle) Superseded(p Process) bool {
	h.registry.mu.Lock()
	defer h.registry.mu.Unlock()
	return h.fences.isSuperseded(p)
}

// Succeed has a lease that is not acquired yet know what old knows of superseded
// processes: by opens it in place of old.
func (h *Handle) Succeed(old *Handle, by Process) {
	h.registry.mu.Lock()
	defer h.registry.mu.Unlock()
	h.fences = old.fences.supersede(by)
}

// Away has a lease that is active end after its TTL, or when its owner may not have it
// any more. It fails if that is so by now: then the lease is for the caller to release.
func (h *Handle) Away() error { return h.awayUntil(time.Now().Add(h.TTL())) }

func (h *Handle) awayUntil(until time.Time) error {
	r := h.registry
	r.mu.Lock()
	if h.over != nil || h.timer != nil {
		r.mu.Unlock()
		return nil
	}
	h.unsaved = h.unsaved || !h.lease.Until.Equal(until)
	h.fences.leaveAll()
	h.since, h.lease.Until = time.Now(), until
	h.timer = time.AfterFunc(time.Until(until), func() { h.endAway(ErrExpired, until) })
	r.away.add(h)
	r.mu.Unlock()
	if h.lease.Identity == "" {
		return nil
	}
	unwatch, err := r.config.Watch(h.lease.Identity, h.Port(), func(reason error) { h.endAway(Revoke(reason), until) })
	if err != nil {
		return Revoke(err)
	}
	r.mu.Lock()
	still := h.isAwayLocked(until)
	if still {
		h.unwatch = unwatch
	}
	r.mu.Unlock()
	if !still {
		unwatch()
	}
	return nil
}

func (h *Handle) isAwayLocked(until time.Time) bool {
	return h.timer != nil && h.lease.Until.Equal(until)
}

// returnLocked ends the absence of the owner, if there is one. It fails with the reason
// if the lease has ended. Unwatch is to be called without the lock.
func (h *Handle) returnLocked() (unwatch func(), err error) {
	if h.over == nil && h.timer != nil {
		h.lease.Until, h.unsaved = time.Time{}, true
	}
	return h.restLocked(), h.over
}

// restLocked ends what goes on while the owner is away. Unwatch is to be called without
// the lock.
func (h *Handle) restLocked() (unwatch func()) {
	unwatch = func() {}
	if h.timer == nil {
		return unwatch
	}
	h.timer.Stop()
	h.timer = nil
	h.registry.away.remove(h)
	if h.unwatch != nil {
		unwatch, h.unwatch = h.unwatch, nil
	}
	return unwatch
}

// Bind gives the lease to an owner who was not known when the relay was started.
func (h *Handle) Bind(owner string) {
	h.registry.mu.Lock()
	defer h.registry.mu.Unlock()
	if h.timer != nil {
		h.registry.away.remove(h)
		defer h.registry.away.add(h)
	}
	h.owner = owner
}

// Rename gives the lease another name. It fails with ErrNameTaken, or with the reason if
// the lease has ended: then it leaves the name to others.
func (h *Handle) Rename(name string) error {
	r := h.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	old := ownName{h.lease.Identity, h.lease.Name}
	if h.over != nil || old.name == name {
		return h.over
	}
	renamed := h.lease
	renamed.Name = name
	if err := r.takeNameLocked(renamed); err != nil {
		return err
	}
	delete(r.names, old)
	h.lease.Name, h.unsaved = name, true
	return nil
}

// EndAway ends a lease that is away, has its endpoint close, and reports whether it was.
func (h *Handle) EndAway(reason error) bool { return h.endAway(reason, h.Lease().Until) }

// endAway is EndAway if the lease is away until then: what runs already when it is
// stopped may be late, and the owner has come, and gone again.
func (h *Handle) endAway(reason error, until time.Time) bool {
	h.registry.mu.Lock()
	if !h.isAwayLocked(until) {
		h.registry.mu.Unlock()
		return false
	}
	unwatch := h.endLocked(reason)
	h.registry.mu.Unlock()
	unwatch()
	h.ended(reason)
	return true
}

// endLocked ends the lease, if it has not ended.
func (h *Handle) endLocked(reason error) (unwatch func()) {
	if h.over == nil {
		h.over = reason
	}
	if r := h.registry; r.handles[h.lease.Key] == h {
		delete(r.handles, h.lease.Key)
		delete(r.names, ownName{h.lease.Identity, h.lease.Name})
	}
	return h.restLocked()
}

// Suspend ends the lease in this Registry only: the relay shuts down, and its next start
// restores the lease as it is.
func (h *Handle) Suspend(reason error) {
	h.registry.mu.Lock()
	unwatch := h.endLocked(reason)
	h.registry.mu.Unlock()
	unwatch()
}

// Release ends the lease, if it has not ended, and has the store forget it.
func (h *Handle) Release(reason error) {
	h.Suspend(reason)
	if !h.Ephemeral {
		is := h.Lease()
		h.registry.drop(is.Key, is.Port)
	}
}

// Pass gives a lease that is away to another key, which is that of a group unless group is
// empty. It reports whether the lease was away, and the key has none.
func (h *Handle) Pass(to Key, group string) bool {
	r := h.registry
	r.mu.Lock()
	from := h.lease.Key
	ok := h.timer != nil && r.handles[to] == nil
	if ok {
		delete(r.handles, from)
		r.handles[to] = h
		if h.lease.Name != "" {
			r.names[ownName{h.lease.Identity, h.lease.Name}] = to
		}
		h.lease.Key, h.lease.Group, h.unsaved = to, group, true
	}
	r.mu.Unlock()
	if ok {
		h.Save() // first, or a relay that dies now has neither
		r.drop(from, h.Port())
	}
	return ok
}
