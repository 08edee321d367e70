package server

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/sockerr"
)

var (
	errNoPort    = errors.New("no public port is free")
	errPortTaken = errors.New("the port is taken")
)

// quarantine is how long a port that somebody has lost is kept from others: users
// who come meanwhile want whom they knew there. A port with a lease has been kept
// for its owner already when that is over.
const quarantine = 10 * time.Minute

// mostKept is how many ports that one owner has lost are kept: more than it may have
// tunnels, mostly. Whoever takes one after the other keeps no others out by that.
const mostKept = 100

// ports hands out listeners on public ports.
type ports struct {
	listen func(port int) (Listener, error)

	mu    sync.Mutex // guards what follows
	taken map[int]struct{}
	left  map[int]formerly // at most one for each port that there is
	kept  map[string]int   // how many of those were each owner's
}

// formerly is whose port it was, and until when nobody else is to have it. If that
// was noOwner, somebody whom the operator has given this very port may.
type formerly struct {
	owner string
	until time.Time
}

func newPorts(listen func(int) (Listener, error)) *ports {
	return &ports{listen: listen, taken: make(map[int]struct{}), left: make(map[int]formerly), kept: make(map[string]int)}
}

// open listens on some free port of the ranges. It tries every port before it gives
// up, from a random one on: the next port is then nobody's to guess. Those that
// others have lost of late come last, the longest lost first: if they were not given
// to anybody, whoever registers often enough could keep everybody out. Owners are
// those whose ports it may be that one gets.
func (p *ports) open(ranges port.Set, owners ...string) (Listener, int, error) {
	size := 0
	for _, r := range ranges {
		size += sizeOf(r)
	}
	var lost []int
	start := rand.IntN(size) //nolint:gosec // a port is public
	for i := range size {
		number := nth(ranges, (start+i)%size)
		if p.isKept(number, owners) {
			lost = append(lost, number)
			continue
		}
		if l, err := p.tryOne(number); l != nil || err != nil {
			return l, number, err
		}
	}
	p.sortByLoss(lost)
	for _, number := range lost {
		if l, err := p.tryOne(number); l != nil || err != nil {
			return l, number, err
		}
	}
	return nil, 0, fmt.Errorf("%w in %s", errNoPort, ranges)
}

// tryOne gives nil if the port is in use by somebody, or by another program, or not
// for us.
func (p *ports) tryOne(number int) (Listener, error) {
	l, err := p.listenOn(number)
	if errors.Is(err, errPortTaken) || sockerr.Is(err, syscall.EADDRINUSE, syscall.EACCES) {
		return nil, nil
	}
	return l, err
}

// openOne listens on a port that somebody wants.
func (p *ports) openOne(number int, owners ...string) (Listener, error) {
	if p.isKept(number, owners) {
		return nil, fmt.Errorf("%w: it was somebody else's a moment ago", errPortTaken)
	}
	return p.listenOn(number)
}

// openLate gives a listener on a port that another program has. Until it is closed
// nobody else gets that port.
func (p *ports) openLate(number int, log *slog.Logger) (Listener, error) {
	if !p.take(number) {
		return nil, errPortTaken
	}
	return newLateListener(number, p.listen, log), nil
}

func (p *ports) listenOn(number int) (Listener, error) {
	if !p.take(number) {
		return nil, errPortTaken
	}
	l, err := p.listen(number)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.taken, number)
	}
	return l, err
}

func sizeOf(r port.Range) int { return r.Last - r.First + 1 }

// nth gives a port by its place in the ranges.
func nth(ranges port.Set, n int) int {
	for _, r := range ranges {
		if n < sizeOf(r) {
			return r.First + n
		}
		n -= sizeOf(r)
	}
	panic("there are not so many ports")
}

func (p *ports) take(number int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, taken := p.taken[number]
	p.taken[number] = struct{}{}
	return !taken
}

// release gives a port back that its owner has lost.
func (p *ports) release(number int, owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, number)
	p.forgetLocked(number)
	p.left[number] = formerly{owner, time.Now().Add(quarantine)}
	p.kept[owner]++
	if owner == noOwner || p.kept[owner] <= mostKept {
		return
	}
	oldest := number
	for n, f := range p.left {
		if f.owner == owner && f.until.Before(p.left[oldest].until) {
			oldest = n
		}
	}
	p.forgetLocked(oldest)
}

// forgetLocked forgets whose port it was.
func (p *ports) forgetLocked(number int) {
	f, ok := p.left[number]
	if !ok {
		return
	}
	delete(p.left, number)
	if p.kept[f.owner]--; p.kept[f.owner] == 0 {
		delete(p.kept, f.owner)
	}
}

// keep keeps a port that nobody has from others until then, as if somebody had lost it
// who may not have it any more.
func (p *ports) keep(number int, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.taken[number]; taken {
		return
	}
	p.forgetLocked(number)
	p.left[number] = formerly{noOwner, until}
	p.kept[noOwner]++
}

// free gives a port back that is nobody's any more.
func (p *ports) free(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, number)
	p.forgetLocked(number)
}

// isKept tells whether a port is kept for somebody who is none of these.
func (p *ports) isKept(number int, owners []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.left[number]
	if ok && !time.Now().Before(f.until) {
		p.forgetLocked(number)
		ok = false
	}
	return ok && !slices.Contains(owners, f.owner)
}

// sortByLoss puts first who was lost first.
func (p *ports) sortByLoss(numbers []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(numbers, func(a, b int) int { return p.left[a].until.Compare(p.left[b].until) })
}
