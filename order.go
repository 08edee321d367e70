package relay

import (
	"sync"
	"time"
)

// maxTurnWait bounds how long a user waits for the previous user of the same address,
// whose connection may be late, or never come. Without losses two connections that are
// opened together differ by less.
const maxTurnWait = 100 * time.Millisecond

// turnsKept is how many users are remembered as handed on: more than a relay lets wait at
// a time.
const turnsKept = 1024

// order hands on users of one address in the order in which they came. Each comes on a
// connection or stream of its own, which may be quick or slow, and the relay says with
// each which user of that address came before. Users of other addresses are not waited
// for. The zero value is ready.
type order struct {
	mu      sync.Mutex          // guards what follows
	last    *[turnsKept]uint64  // the last number that was handed on, by its remainder; nil before the first
	waiting map[uint64]*waiting // by the number that is waited for
}

// waiting is a user who waits for the turn.
type waiting struct {
	handOn func()
	timer  *time.Timer
}

// waitFor calls handOn when the user with the number has been handed on, or after
// maxTurnWait. It returns false, and does not call handOn, if there is nobody to wait
// for. HandOn must not wait.
func (o *order) waitFor(number uint64, handOn func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if number == 0 || o.last != nil && o.last[number%turnsKept] >= number {
		return false
	}
	w := &waiting{handOn: handOn}
	w.timer = time.AfterFunc(maxTurnWait, func() {
		o.forget(number, w)
		handOn()
	})
	if o.waiting == nil {
		o.waiting = make(map[uint64]*waiting)
	}
	o.waiting[number] = w // if the relay has two wait for one, the first waits longest
	return true
}

func (o *order) forget(number uint64, w *waiting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting[number] == w {
		delete(o.waiting, number)
	}
}

// handedOn notes that the user with the number has been handed on, or never will be. It
// hands on the user who waits for that.
func (o *order) handedOn(number uint64) {
	if number == 0 {
		return
	}
	o.mu.Lock()
	if o.last == nil { // a service that never has users needs none
		o.last = new([turnsKept]uint64)
	}
	at := &o.last[number%turnsKept]
	*at = max(*at, number)
	w := o.waiting[number]
	delete(o.waiting, number)
	o.mu.Unlock()
	if w != nil && w.timer.Stop() { // otherwise the timer hands it on
		w.handOn()
	}
}
