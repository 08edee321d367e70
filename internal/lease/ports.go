package lease

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/sockerr"
)

// Why Ports opens no port.
var (
	ErrNoPort    = errors.New("no public port is free")
	ErrPortTaken = errors.New("the port is taken")
)

// Quarantine is how long a port that its owner has lost is kept from others: users
// who come meanwhile want the server that they knew there. When the lease of a port
// runs out, the port has been kept for its owner already.
const Quarantine = 10 * time.Minute

// maxQuarantined is how many ports that one owner has lost are kept: mostly more than it
// may have tunnels. An owner that takes one port after the other keeps no others out by
// that.
const maxQuarantined = 100

// NoOwner has lost a port for good.
const NoOwner = ""

// Ports hands out listeners on public ports. Its methods may be called concurrently.
type Ports struct {
	listen func(port int) (conn.Listener, error)

	mu          sync.Mutex // guards what follows
	taken       map[int]struct{}
	previous    map[int]previous // at most one for each port that there is
	quarantined map[string]int   // how many of those were each owner's
}

// previous is whose port it was, and until when nobody else is to have it. After
// NoOwner, a relay client may have it to whom the operator has given this very port.
type previous struct {
	owner string
	until time.Time
}

// NewPorts returns Ports that open each port with listen.
func NewPorts(listen func(port int) (conn.Listener, error)) *Ports {
	return &Ports{
		listen: listen, taken: make(map[int]struct{}),
		previous: make(map[int]previous), quarantined: make(map[string]int),
	}
}

// Open listens on some free port of the ranges. It tries every port before it gives
// up, starting from a random one: nobody can guess the next port. Ports that others
// have lost of late come last, the longest lost first: if they were not handed out at
// all, an attacker who registers often enough could keep everybody out. A port whose
// previous owner is among owners is handed out like one that nobody has lost.
func (p *Ports) Open(ranges port.Set, owners ...string) (conn.Listener, int, error) {
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
	return nil, 0, fmt.Errorf("%w in %s", ErrNoPort, ranges)
}

// tryOne returns nil if the port is taken, in use by another program, or not for us.
func (p *Ports) tryOne(number int) (conn.Listener, error) {
	l, err := p.listenOn(number)
	if errors.Is(err, ErrPortTaken) || sockerr.Is(err, syscall.EADDRINUSE, syscall.EACCES) {
		return nil, nil
	}
	return l, err
}

// OpenOne listens on a port that was asked for.
func (p *Ports) OpenOne(number int, owners ...string) (conn.Listener, error) {
	if p.isKept(number, owners) {
		return nil, fmt.Errorf("%w: it was somebody else's a moment ago", ErrPortTaken)
	}
	return p.listenOn(number)
}

// OpenLate returns a listener that opens a port as soon as another program lets go of
// it. Until the listener is closed nobody else gets the port.
func (p *Ports) OpenLate(number int, log *slog.Logger) (conn.Listener, error) {
	if !p.take(number) {
		return nil, ErrPortTaken
	}
	return &lateListener{
		number: number, listen: p.listen, log: log, since: time.Now(),
		open: make(chan struct{}), closed: make(chan struct{}),
	}, nil
}

func (p *Ports) listenOn(number int) (conn.Listener, error) {
	if !p.take(number) {
		return nil, ErrPortTaken
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

// nth returns a port by its place in the ranges.
func nth(ranges port.Set, n int) int {
	for _, r := range ranges {
		if n < sizeOf(r) {
			return r.First + n
		}
		n -= sizeOf(r)
	}
	panic("there are not so many ports")
}

func (p *Ports) take(number int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, taken := p.taken[number]
	p.taken[number] = struct{}{}
	return !taken
}

// Release gives a port back that its owner has lost, and puts it in quarantine.
func (p *Ports) Release(number int, owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, number)
	p.quarantineLocked(number, previous{owner, time.Now().Add(Quarantine)})
	if owner == NoOwner || p.quarantined[owner] <= maxQuarantined {
		return
	}
	oldest := number
	for n, f := range p.previous {
		if f.owner == owner && f.until.Before(p.previous[oldest].until) {
			oldest = n
		}
	}
	p.forgetLocked(oldest)
}

// Withhold keeps a port that is not taken from others until then, as if an owner had
// lost it that may not have it any more.
func (p *Ports) Withhold(number int, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.taken[number]; !taken {
		p.quarantineLocked(number, previous{NoOwner, until})
	}
}

func (p *Ports) quarantineLocked(number int, of previous) {
	p.forgetLocked(number)
	p.previous[number] = of
	p.quarantined[of.owner]++
}

// forgetLocked forgets whose port it was.
func (p *Ports) forgetLocked(number int) {
	f, ok := p.previous[number]
	if !ok {
		return
	}
	delete(p.previous, number)
	if p.quarantined[f.owner]--; p.quarantined[f.owner] == 0 {
		delete(p.quarantined, f.owner)
	}
}

// Free gives a port back that is nobody's any more.
func (p *Ports) Free(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, number)
	p.forgetLocked(number)
}

// isKept reports whether a port is kept for an owner that is none of these.
func (p *Ports) isKept(number int, owners []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.previous[number]
	if ok && !time.Now().Before(f.until) {
		p.forgetLocked(number)
		ok = false
	}
	return ok && !slices.Contains(owners, f.owner)
}

// sortByLoss puts first the port that was lost first.
func (p *Ports) sortByLoss(numbers []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(numbers, func(a, b int) int { return p.previous[a].until.Compare(p.previous[b].until) })
}
