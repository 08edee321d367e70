package admission

import (
	"container/list"
	"math/rand/v2"
	"sync"
)

// Gate bounds how many are inside at a time, in all and for each source. Make it
// with NewGate. Its methods may be called concurrently.
//
// Whoever means well is inside for a moment, and whoever does not for as long as
// may be. So the newest are worth more than the oldest: at the limit of a source its
// oldest has to go, and when all places are taken the oldest of all. And sources of
// which nobody is inside are worth more than others: when half of all places are
// taken, sources that have some are turned away at random, with a chance that grows
// until, at seven eighths, they get no more. The rest is for newcomers.
type Gate struct {
	total, perSource int

	mu     sync.Mutex // guards what follows
	inside list.List  // of *Pass; the oldest is first
	of     map[Source]*places
}

// places are those that one source has.
type places struct {
	inside   list.List // of *Pass that were not expected; the oldest is first
	expected int
}

// NewGate gives a gate that lets so many in.
func NewGate(total, perSource int) *Gate {
	return &Gate{total: total, perSource: perSource, of: make(map[Source]*places)}
}

// Pass belongs to one who is inside.
type Pass struct {
	source   Source
	expected bool
	alone    bool          // its source is not counted
	gone     bool          // of its own accord or not; Gate.mu guards it
	place    *list.Element // of Gate.inside
	ofSource *list.Element // of places.inside, unless it was expected
	evict    func()        // sends its owner away
}

// Enter lets one of a source in, or gives nil and says which limit is in the way.
// Of those whom the source is expected to send, as many as its limit come in beside
// it, and nobody is turned away at random. If somebody has to make room, its evict is
// called, before Enter returns, with the reason given as well.
func (g *Gate) Enter(from Source, expected int, evict func()) (pass *Pass, reason Kind) {
	pass = &Pass{source: from, evict: evict}
	oldest, reason, ok := g.enter(pass, expected)
	if oldest != nil {
		oldest.evict()
	}
	if !ok {
		return nil, reason
	}
	return pass, reason
}

// EnterAlone is Enter for one whose source stands for many, and is not counted. The
// reason says whether the oldest of all had to make room.
func (g *Gate) EnterAlone(evict func()) (pass *Pass, reason Kind) {
	pass = &Pass{alone: true, evict: evict}
	g.mu.Lock()
	var oldest *Pass
	if g.inside.Len() >= g.total {
		oldest, reason = g.inside.Front().Value.(*Pass), Handshakes
		g.leaveLocked(oldest)
	}
	pass.place = g.inside.PushBack(pass)
	g.mu.Unlock()
	if oldest != nil {
		oldest.evict()
	}
	return pass, reason
}

func (g *Gate) enter(pass *Pass, expected int) (oldest *Pass, reason Kind, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.of[pass.source]
	if p == nil {
		p = new(places)
	}
	pass.expected = p.expected < min(expected, g.perSource)
	switch {
	case !pass.expected && p.inside.Len() >= g.perSource:
		oldest, reason = p.inside.Front().Value.(*Pass), HandshakesPerSource
	case !pass.expected && p.inside.Len() > 0 && g.turnsAwayLocked():
		return nil, Handshakes, false
	case g.inside.Len() >= g.total:
		oldest, reason = g.inside.Front().Value.(*Pass), Handshakes
	}
	if oldest != nil {
		g.leaveLocked(oldest)
	}
	pass.place = g.inside.PushBack(pass)
	if pass.expected {
		p.expected++
	} else {
		pass.ofSource = p.inside.PushBack(pass)
	}
	g.of[pass.source] = p // which has been forgotten, if its last one had to go
	return oldest, reason, true
}

// turnsAwayLocked decides about a source that has somebody inside.
func (g *Gate) turnsAwayLocked() bool {
	from, to := g.total/2, g.total-g.total/8
	return g.inside.Len() > from && rand.IntN(to-from) < g.inside.Len()-from //nolint:gosec // spreads load, hides nothing
}

// Leave takes back what Enter gave. It gives false if that was taken back before,
// by Leave or because somebody had to make room.
func (g *Gate) Leave(pass *Pass) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leaveLocked(pass)
}

func (g *Gate) leaveLocked(pass *Pass) bool {
	if pass.gone {
		return false
	}
	pass.gone = true
	g.inside.Remove(pass.place)
	if pass.alone {
		return true
	}
	p := g.of[pass.source]
	if pass.expected {
		p.expected--
	} else {
		p.inside.Remove(pass.ofSource)
	}
	if p.expected == 0 && p.inside.Len() == 0 {
		delete(g.of, pass.source)
	}
	return true
}

// Inside is how many are inside.
func (g *Gate) Inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside.Len()
}
