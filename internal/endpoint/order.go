package endpoint

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// order numbers the users of a port, so that its relay client can take those of one
// source in the order in which they came: it learns of each on another connection, or
// stream, and in any order.
type order struct {
	mu     sync.Mutex // guards what follows
	last   uint64
	latest map[admission.Source]*turn // of those who are here
}

// turn is the place of one user in that order.
type turn struct {
	number uint64
	before atomic.Pointer[turn] // of the one of the same source who came right before, or nil
	left   atomic.Bool
	held   atomic.Pointer[time.Time] // until when a limit holds the user up, or nil
	to     atomic.Pointer[Tunnel]    // that is to serve the user, or nil
	told   atomic.Pointer[Tunnel]    // whose relay client has been told of the user
}

// take gives the next turn to a user of a source.
func (o *order) take(source admission.Source) *turn {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	t := &turn{number: o.last}
	t.before.Store(o.latest[source])
	if o.latest == nil {
		o.latest = make(map[admission.Source]*turn)
	}
	o.latest[source] = t
	return t
}

// leave ends a turn. The user may have none.
func (o *order) leave(source admission.Source, t *turn) {
	if t == nil {
		return
	}
	t.left.Store(true)
	o.mu.Lock()
	defer o.mu.Unlock()
	// Those behind come behind the nearest one who is still here. Of who has left, no
	// more are held on to than were here when somebody came who still is.
	before := t.before.Load()
	for before != nil && before.left.Load() {
		before = before.before.Load()
	}
	t.before.Store(before)
	switch {
	case o.latest[source] != t:
	case before == nil:
		delete(o.latest, source)
	default:
		o.latest[source] = before
	}
}

// holdUp notes that a limit holds the user up for so long.
func (t *turn) holdUp(wait time.Duration) {
	until := time.Now().Add(wait)
	t.held.Store(&until)
}

// maxBack is how far tell looks back for a user whom the same member of a group has: most
// groups are so small that it is among the last few.
const maxBack = 64

// tell gives what the relay client of a tunnel is told. It need not wait for who has
// left before it was told of them, or is held up here; those before them count. Nor
// for whom another one has.
func (t *turn) tell(to *Tunnel) proxyproto.Sequence {
	said := proxyproto.Sequence{Number: t.number}
	steps := 0
	for b := t.before.Load(); b != nil && steps < maxBack; b = b.before.Load() {
		steps++
		if told := b.told.Load(); told == to || told == nil && b.comesSoonTo(to) {
			said.After = b.number
			break
		} else if told != nil && to.Group == "" {
			break
		}
	}
	t.told.Store(to)
	return said
}

// comesSoonTo reports whether the relay client of a tunnel is about to be told of a user. In a
// group that may be another one.
func (t *turn) comesSoonTo(to *Tunnel) bool {
	return t.comesSoon() && (to.Group == "" || t.to.Load() == to)
}

// comesSoon reports whether a relay client is about to be told of a user.
func (t *turn) comesSoon() bool {
	until := t.held.Load()
	return !t.left.Load() && (until == nil || !time.Now().Before(*until))
}
