package multiplex

import "sync"

// places counts the sessions of all tunnels that are not the first ones of their tunnels,
// and those that may still come: a tunnel has the places that it was granted for as long as
// it lives. The zero value is ready.
type places struct {
	mu    sync.Mutex // guards what follows
	taken int
	of    map[string]int // by holder
}

// holderShare is the part of all places that one holder may have: one of so many.
const holderShare = 4

// take takes as many places as are wanted, or fewer if there are no more for this holder,
// and returns how many. A limit of zero is none. An empty holder may have all.
func (p *places) take(holder string, wanted, limit int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := wanted
	if limit > 0 {
		n = min(n, limit-p.taken)
		if holder != "" {
			n = min(n, max(limit/holderShare, 1)-p.of[holder])
		}
	}
	if n <= 0 {
		return 0
	}
	p.taken += n
	if holder != "" {
		if p.of == nil {
			p.of = make(map[string]int)
		}
		p.of[holder] += n
	}
	return n
}

// giveBack gives back n places that were taken.
func (p *places) giveBack(holder string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken -= n
	if holder == "" {
		return
	}
	if p.of[holder] -= n; p.of[holder] == 0 {
		delete(p.of, holder)
	}
}

// len returns how many are taken.
func (p *places) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}
