package admission

import (
	"container/list"
	"math/rand/v2"
	"sync"
)

// HandshakeLimiter bounds how many connections are in their handshake at a time, in all
// and for each source. Make it with NewHandshakeLimiter. Its methods may be called
// concurrently.
//
// An honest peer needs its slot for a moment, and an attacker keeps it for as long as
// possible. So the newest connections are worth more than the oldest: at the limit of a
// source its oldest connection is evicted, and when all slots are taken the oldest of
// all. And sources that have no connection here are worth more than others: when half of
// all slots are taken, sources that have some are turned away at random, with a
// probability that grows until, at seven eighths, they get no more. The rest is for
// newcomers.
type HandshakeLimiter struct {
	mu               sync.Mutex // guards what follows
	total, perSource int
	slots            list.List // of *Slot; the oldest is first
	sources          map[Source]*sourceSlots
}

// sourceSlots are the slots of one source.
type sourceSlots struct {
	unexpected list.List // of *Slot; the oldest is first
	expected   int
}

// NewHandshakeLimiter returns a limiter with so many slots.
func NewHandshakeLimiter(total, perSource int) *HandshakeLimiter {
	return &HandshakeLimiter{total: total, perSource: perSource, sources: make(map[Source]*sourceSlots)}
}

// set has other bounds hold from now on. Connections that have a slot keep it: they need it
// for a moment.
func (h *HandshakeLimiter) set(total, perSource int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total, h.perSource = total, perSource
}

// Slot belongs to one connection in its handshake.
type Slot struct {
	limiter  *HandshakeLimiter
	source   Source
	expected bool
	shared   bool          // its source is not counted
	released bool          // or evicted; HandshakeLimiter.mu guards it
	place    *list.Element // of HandshakeLimiter.slots
	ofSource *list.Element // of sourceSlots.unexpected, unless it was expected
	evict    func()        // resets the connection
}

// Admit gives a connection of a source a slot, or returns nil and the limit in the way.
// The source is expected to send so many connections: of those, as many as its limit come
// in beside it, and none is turned away at random. If another connection has to make
// room, Admit calls its evict before it returns, and returns the limit as well.
func (h *HandshakeLimiter) Admit(source Source, expected int, evict func()) (slot *Slot, reason Kind) {
	slot = &Slot{limiter: h, source: source, evict: evict}
	oldest, reason, ok := h.admit(slot, expected)
	if oldest != nil {
		oldest.evict()
	}
	if !ok {
		return nil, reason
	}
	return slot, reason
}

// AdmitShared is Admit for a source that is shared, and not counted. The reason is
// Handshakes if the oldest of all had to make room.
func (h *HandshakeLimiter) AdmitShared(evict func()) (slot *Slot, reason Kind) {
	slot = &Slot{limiter: h, shared: true, evict: evict}
	h.mu.Lock()
	var oldest *Slot
	if h.slots.Len() >= h.total {
		oldest, reason = h.slots.Front().Value.(*Slot), Handshakes
		h.releaseLocked(oldest)
	}
	slot.place = h.slots.PushBack(slot)
	h.mu.Unlock()
	if oldest != nil {
		oldest.evict()
	}
	return slot, reason
}

func (h *HandshakeLimiter) admit(slot *Slot, expected int) (oldest *Slot, reason Kind, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sources[slot.source]
	if s == nil {
		s = new(sourceSlots)
	}
	slot.expected = s.expected < min(expected, h.perSource)
	switch {
	case !slot.expected && s.unexpected.Len() >= h.perSource:
		oldest, reason = s.unexpected.Front().Value.(*Slot), HandshakesPerSource
	case !slot.expected && s.unexpected.Len() > 0 && h.dropsLocked():
		return nil, Handshakes, false
	case h.slots.Len() >= h.total:
		oldest, reason = h.slots.Front().Value.(*Slot), Handshakes
	}
	if oldest != nil {
		h.releaseLocked(oldest)
	}
	slot.place = h.slots.PushBack(slot)
	if slot.expected {
		s.expected++
	} else {
		slot.ofSource = s.unexpected.PushBack(slot)
	}
	h.sources[slot.source] = s // which was forgotten if its last slot was the oldest
	return oldest, reason, true
}

// dropsLocked decides about a connection of a source that has slots already.
func (h *HandshakeLimiter) dropsLocked() bool {
	from, to := h.total/2, h.total-h.total/8
	return h.slots.Len() > from && rand.IntN(to-from) < h.slots.Len()-from //nolint:gosec // spreads load, hides nothing
}

// Release releases the slot. It reports false if the slot was released before, by Release
// or by eviction.
func (s *Slot) Release() bool {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	return s.limiter.releaseLocked(s)
}

func (h *HandshakeLimiter) releaseLocked(slot *Slot) bool {
	if slot.released {
		return false
	}
	slot.released = true
	h.slots.Remove(slot.place)
	if slot.shared {
		return true
	}
	s := h.sources[slot.source]
	if slot.expected {
		s.expected--
	} else {
		s.unexpected.Remove(slot.ofSource)
	}
	if s.expected == 0 && s.unexpected.Len() == 0 {
		delete(h.sources, slot.source)
	}
	return true
}

// Len returns how many slots are taken.
func (h *HandshakeLimiter) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.slots.Len()
}
