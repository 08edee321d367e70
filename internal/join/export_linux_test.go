package join

import (
	"context"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// What is decided about a peer, from what the kernel says.
var (
	NothingUnderWay = nothingUnderWay
	Silent          = silent
	IsStuck         = isStuck
)

// Silence is how long nothing may come from a peer.
const Silence = silence

// NewEngineLooking is NewEngine with other periods: see underWay.
func NewEngineLooking(lookEvery, silence time.Duration) (*Engine, error) {
	return newEngine(periods{lookEvery, silence, noProgress})
}

// CopyJoinLooking is CopyJoin with other periods.
func CopyJoinLooking(ctx context.Context, a, b conn.Conn, o Options, lookEvery, silence, standstill time.Duration) Result {
	return newCopying(a, b, o, periods{lookEvery, silence, standstill}).run(ctx)
}

// UnderWay is how many sockets are looked at.
func (e *Engine) UnderWay() (n int) {
	for _, loop := range e.loops.all {
		loop.underWay.mu.Lock()
		n += len(loop.underWay.ends)
		loop.underWay.mu.Unlock()
	}
	return n
}

// Suspects is how many of those were silent at the last look.
func (e *Engine) Suspects() (n int) {
	for _, loop := range e.loops.all {
		loop.underWay.mu.Lock()
		ends := append([]*end(nil), loop.underWay.ends...)
		loop.underWay.mu.Unlock()
		for _, end := range ends {
			end.join.mu.Lock()
			if end.peer.suspect {
				n++
			}
			end.join.mu.Unlock()
		}
	}
	return n
}
