package lease

import (
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// Passed is a lease with all that one process of the relay tells the next about it.
type Passed struct {
	Lease
	Ephemeral bool
	Fences    []Fence
}

// Passed returns the lease for the next process.
func (h *Handle) Passed() Passed {
	h.registry.mu.Lock()
	defer h.registry.mu.Unlock()
	p := Passed{Lease: h.lease, Ephemeral: h.Ephemeral, Fences: slices.Clone(h.fences)}
	for i := range p.Fences {
		p.Fences[i].Superseded = slices.Clone(p.Fences[i].Superseded)
	}
	return p
}

// Inherit has a lease that is not acquired yet be as it was in another process. One that is
// served there is active; any other one is away when Restore returns.
func (h *Handle) Inherit(p Passed) {
	h.Ephemeral = p.Ephemeral
	h.registry.mu.Lock()
	defer h.registry.mu.Unlock()
	h.fences = p.Fences[:min(len(p.Fences), maxFences)]
	for i := range h.fences {
		f := &h.fences[i]
		f.Superseded = f.Superseded[:min(len(f.Superseded), maxSuperseded)]
	}
}

// inherited returns the handle of a key that was acquired before Restore, or nil. If the store
// has it otherwise than it is, it is to be saved.
func (r *Registry) inherited(saved Lease) *Handle {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.handles[saved.Key]
	if h != nil {
		h.unsaved = h.lease != saved
	}
	return h
}

// AwayUntil has a lease that is active, and that nobody serves, end then. It fails if its owner
// may not have it any more: then it is for the caller to release.
func (h *Handle) AwayUntil(until time.Time) error { return h.awayUntil(until) }

// Quarantined is a port that is kept from others than its previous owner.
type Quarantined struct {
	Port  int
	Owner string
	Until time.Time
}

// Quarantined returns the ports that are kept, those that are withheld among them.
func (p *Ports) Quarantined() (all []Quarantined) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for number, of := range p.previous {
		if now.Before(of.until) {
			all = append(all, Quarantined{number, of.owner, of.until})
		}
	}
	return all
}

// Keep keeps a port that is not taken for its previous owner, as another process did.
func (p *Ports) Keep(q Quarantined) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.taken[q.Port]; !taken {
		p.quarantineLocked(q.Port, previous{q.Owner, q.Until})
	}
}

// Reserve takes a port that another process has open, and reports whether it was free.
func (p *Ports) Reserve(number int) bool { return p.take(number) }

// Adopt takes a port whose listener another process has opened. It returns ErrPortTaken, and
// closes l, if the port is taken.
func (p *Ports) Adopt(number int, l conn.Listener) (conn.Listener, error) {
	if !p.take(number) {
		_ = l.Close()
		return nil, ErrPortTaken
	}
	return l, nil
}
