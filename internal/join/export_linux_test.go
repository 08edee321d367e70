package join

import (
	"context"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// How a peer is judged by what the kernel reports.
var (
	AllAcked = allAcked
	Silent   = silent
	IsStuck  = stuck
)

// Silence is how long nothing may come from a peer.
const Silence = silence

// NewEngineChecking is NewEngine with other periods: see unackedEnds.
func NewEngineChecking(checkInterval, silence time.Duration) (*Engine, error) {
	return newEngine(periods{checkInterval, silence, noProgress})
}

// CopyJoinChecking is CopyJoin with other periods.
func CopyJoinChecking(ctx context.Context, a, b conn.Conn, o Options, checkInterval, silence, standstill time.Duration) Result {
	return newCopying(a, b, o, periods{checkInterval, silence, standstill}).run(ctx)
}

// Unacked returns how many sockets are checked.
func (e *Engine) Unacked() (n int) {
	for _, loop := range e.loops.all {
		loop.unacked.mu.Lock()
		n += len(loop.unacked.ends)
		loop.unacked.mu.Unlock()
	}
	return n
}

// Suspects returns how many of those were silent at the last check.
func (e *Engine) Suspects() (n int) {
	for _, loop := range e.loops.all {
		loop.unacked.mu.Lock()
		ends := append([]checked(nil), loop.unacked.ends...)
		loop.unacked.mu.Unlock()
		for _, checked := range ends {
			end, ok := checked.(*end)
			if !ok {
				continue
			}
			end.join.mu.Lock()
			if end.peer.suspect {
				n++
			}
			end.join.mu.Unlock()
		}
	}
	return n
}

// NewEngineOf is NewEngine on a machine where all sockets may hold so much.
func NewEngineOf(tcpMemory int64) (*Engine, error) {
	e, err := NewEngine()
	if err == nil {
		e.crowd.most = newCrowd(tcpMemory).most
	}
	return e, err
}

// Stalled returns how many directions are stalled, and how many may be.
func (e *Engine) Stalled() (n, most int64) { return e.crowd.stalled.Load(), e.crowd.most }

// StallOthers counts n more directions that are stalled.
func (e *Engine) StallOthers(n int64) { e.crowd.stalled.Add(n) }

// EndBurst has the joins that have begun count no more.
func (e *Engine) EndBurst() { e.crowd.begun.Store(0) }

// TrustAfter is how much a join moves before the buffer of its source grows.
const TrustAfter = trustAfter
