package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last int }

// ParsePortRange reads "20000-29999", or a single port.
func ParsePortRange(text string) (PortRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	var r PortRange
	var err error
	if r.First, err = ParsePort(first); err != nil {
		return PortRange{}, err
	}
	if r.Last, err = ParsePort(last); err != nil {
		return PortRange{}, err
	}
	if r.Last < r.First {
		return PortRange{}, fmt.Errorf("%s ends before it begins", text)
	}
	return r, nil
}

// ParsePort reads a port from 1 to 65535.
func ParsePort(text string) (int, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is not a port: ports are numbers from 1 to 65535", text)
	}
	return int(port), nil
}

func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func (r PortRange) size() int { return r.Last - r.First + 1 }

var errNoPort = errors.New("no public port is free")

// ports hands out listeners on public ports.
type ports struct {
	from   PortRange
	listen func(port int) (Listener, error)

	mu    sync.Mutex // guards what follows
	taken map[int]struct{}
}

func newPorts(from PortRange, listen func(int) (Listener, error)) *ports {
	return &ports{from: from, listen: listen, taken: make(map[int]struct{})}
}

// open listens on some free port. It tries every port before it gives up, from
// a random one on: the next port is then nobody's to guess, and one that was
// just given up is seldom given to somebody else.
func (p *ports) open() (Listener, int, error) {
	start := rand.IntN(p.from.size()) //nolint:gosec // a port is public
	for i := range p.from.size() {
		port := p.from.First + (start+i)%p.from.size()
		if !p.take(port) {
			continue
		}
		l, err := p.listen(port)
		if err == nil {
			return l, port, nil
		}
		p.release(port)
		// In use by another program, or not for us.
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) {
			return nil, 0, err
		}
	}
	return nil, 0, fmt.Errorf("%w in %s", errNoPort, p.from)
}

func (p *ports) take(port int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, taken := p.taken[port]
	p.taken[port] = struct{}{}
	return !taken
}

func (p *ports) release(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, port)
}
