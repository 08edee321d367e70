package server

import (
	"sync"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/limit"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// order numbers the users of a port, so that its relay client can take those of one
// source in the order in which they came: it learns of each on another connection, or
// stream, and in any order.
type order struct {
	mu     sync.Mutex // guards what follows
	last   uint64
	latest map[limit.Source]*turn // of those who are here
}

// turn is the place of one user in that order.
type turn struct {
	number uint64
	before *turn // of the one of the same source who came right before, or nil
	left   atomic.Bool
	told   atomic.Pointer[tunnel] // whose relay client has been told of the user
}

// take gives the next turn to a user of a source.
func (o *order) take(source limit.Source) *turn {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	t := &turn{number: o.last, before: o.latest[source]}
	if o.latest == nil {
		o.latest = make(map[limit.Source]*turn)
	}
	o.latest[source] = t
	return t
}

// leave ends a turn. The user may have none.
func (o *order) leave(source limit.Source, t *turn) {
	if t == nil {
		return
	}
	t.left.Store(true)
	t.before = nil
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.latest[source] == t {
		delete(o.latest, source)
	}
}

// tell gives what the relay client of a tunnel is told. It need not wait for who has
// left before it was told of them, or for whom another one has.
func (t *turn) tell(to *tunnel) proxyproto.Turn {
	said := proxyproto.Turn{Number: t.number}
	if b := t.before; b != nil {
		if told := b.told.Load(); told == to || told == nil && !b.left.Load() {
			said.After = b.number
		}
	}
	t.told.Store(to)
	return said
}
