package join

import (
	"context"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/eventloop"
)

// How a peer is judged by what the kernel reports.
var (
	AllAcked = allAcked
	Silent   = silent
	IsStuck  = stuck
)

// Silence is how long nothing may come from a peer.
const Silence = silence

// NewEngineChecking is NewEngine with other periods: see checkList.
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

// StallOthers counts n more directions that are stalled.
func (e *Engine) StallOthers(n int64) { e.crowd.stalled.Add(n) }

// CheckByHand has the flows that wait for their receivers checked by CheckWaiting alone. It
// is called before the first join.
func (e *Engine) CheckByHand() {
	for _, loop := range e.loops.all {
		loop.waiting.periods.checkInterval = time.Hour
	}
}

// CheckWaiting checks them once.
func (e *Engine) CheckWaiting() {
	for _, loop := range e.loops.all {
		checked := make(chan struct{})
		loop.Post(task(func() {
			defer close(checked)
			for again := loop.waiting.Ready(eventloop.Posted); again; again = loop.waiting.Ready(0) {
			}
		}))
		<-checked
	}
}

// StallChecks is how many checks a flow takes at most to count as stalled, after the one
// that sees it first.
const StallChecks = stallChecks * askEvery

// What a socket may hold that it cannot send.
const (
	MaxUnsent     = maxUnsent
	CrowdedUnsent = crowdedUnsent
)

// TrustAfter is how much a join moves before the buffer of its source grows.
const TrustAfter = trustAfter
