package relay

import (
	"sync"
	"time"
)

// longestTurn bounds how long a user waits for the one who came right before from the
// same address, whose connection may be late, or never come. Without losses two of them
// that are opened together differ by less.
const longestTurn = 100 * time.Millisecond

// turnsKept is of how many users it is known that they have been handed on: more than a
// relay lets wait at a time.
const turnsKept = 1024

// order has users of one address handed on in the order in which they came. Each comes
// on a connection or stream of its own, which is quick or slow by itself, and the relay
// says with each who came right before. Nobody waits for users of other addresses. The
// zero value is ready.
type order struct {
	mu   sync.Mutex        // guards what follows
	over [turnsKept]uint64 // the last number that has been handed on, by its remainder
	held map[uint64]*held  // by the number that is waited for
}

// held is a user who waits.
type held struct {
	handOn func()
	timer  *time.Timer
}

// await has handOn called when the user with the number has been handed on, or that
// takes too long. It returns false if there is nobody to wait for, and does not call
// it then. HandOn must not wait.
func (o *order) await(number uint64, handOn func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if number == 0 || o.over[number%turnsKept] >= number {
		return false
	}
	h := &held{handOn: handOn}
	h.timer = time.AfterFunc(longestTurn, func() {
		o.forget(number, h)
		handOn()
	})
	if o.held == nil {
		o.held = make(map[uint64]*held)
	}
	o.held[number] = h // a relay that has two wait for one has the first wait longest
	return true
}

func (o *order) forget(number uint64, h *held) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held[number] == h {
		delete(o.held, number)
	}
}

// pass says that the user with the number has been handed on, or never will be. It
// hands on the one who waits for that.
func (o *order) pass(number uint64) {
	if number == 0 {
		return
	}
	o.mu.Lock()
	at := &o.over[number%turnsKept]
	*at = max(*at, number)
	h := o.held[number]
	delete(o.held, number)
	o.mu.Unlock()
	if h != nil && h.timer.Stop() { // or else it is being handed on
		h.handOn()
	}
}
