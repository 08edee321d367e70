package netlab

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Conditions are what a wire does to packets, in each of its directions. The
// zero value carries all of them at once.
type Conditions struct {
	// Bits is how many go in each second, and Queue how many bytes may wait to go in.
	// Packets that come when it is full are lost. Zero Bits are no limit.
	Bits  float64
	Queue int
	// Delay is how long a packet is under way once it has gone in, more or less by up
	// to Jitter. Jitter keeps the order, as queues in real networks do: it is drawn anew
	// once in each time of its own length.
	Delay, Jitter time.Duration
	// Loss, Reorder and Duplicate are the parts of all packets, 0 to 1, that are
	// lost, overtake all that are under way, or arrive twice.
	Loss, Reorder, Duplicate float64
	// LossEvery is of how many packets one is lost, at equal distances: a measurement
	// with it repeats as one with Loss does not. Zero loses none. The first one is drawn.
	LossEvery int
	// Seed is of the random draws. The same seed makes the same draws.
	Seed uint64
}

// path computes when packets arrive that go into a wire one after the other. It is for
// one goroutine.
type path struct {
	Conditions
	random *rand.Rand
	left   int           // packets until one of LossEvery is lost
	again  atomic.Bool   // left is to begin anew
	free   time.Time     // when the last packet has gone in
	last   time.Time     // when the last one that kept its place arrives
	extra  time.Duration // of the jitter
	redraw time.Time     // when extra is drawn anew
}

func newPath(c Conditions, direction uint64) *path {
	p := &path{Conditions: c, random: rand.New(rand.NewPCG(c.Seed, direction))} //nolint:gosec // to be repeated, not to be secret
	p.again.Store(true)
	return p
}

// arrivals returns when a packet that comes now arrives: never, once or twice.
func (p *path) arrivals(now time.Time, size int) []time.Time {
	if p.draw(p.Loss) || p.due() {
		return nil
	}
	gone, ok := p.enter(now, size)
	if !ok {
		return nil
	}
	if p.draw(p.Reorder) {
		return []time.Time{gone}
	}
	at := gone.Add(p.Delay + p.jitter(now))
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	if p.draw(p.Duplicate) {
		return []time.Time{at, at}
	}
	return []time.Time{at}
}

// enter returns when the packet has gone in, or false if the queue is full.
func (p *path) enter(now time.Time, size int) (time.Time, bool) {
	if p.Bits == 0 {
		return now, true
	}
	if p.free.Before(now) {
		p.free = now
	}
	if p.free.Sub(now) > p.takes(p.Queue) {
		return time.Time{}, false
	}
	p.free = p.free.Add(p.takes(size))
	return p.free, true
}

func (p *path) takes(size int) time.Duration {
	return time.Duration(float64(size) * 8 / p.Bits * float64(time.Second))
}

func (p *path) jitter(now time.Time) time.Duration {
	if p.Jitter > 0 && !now.Before(p.redraw) {
		p.extra = time.Duration((2*p.random.Float64() - 1) * float64(p.Jitter))
		p.redraw = now.Add(p.Jitter)
	}
	return p.extra
}

// due reports whether the packet is the one of LossEvery that is lost.
func (p *path) due() bool {
	if p.LossEvery == 0 {
		return false
	}
	if p.again.Swap(false) {
		p.left = p.random.IntN(p.LossEvery)
	}
	lost := p.left == 0
	if lost {
		p.left = p.LossEvery
	}
	p.left--
	return lost
}

func (p *path) draw(part float64) bool { return part > 0 && p.random.Float64() < part }
