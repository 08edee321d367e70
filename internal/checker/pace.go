package checker

import (
	"context"
	"time"
)

// pace spreads a number of bytes over a time.
type pace struct {
	chunk int // bytes at a time
	each  time.Duration
}

// step is the shortest pause of a slow side, so that it does not live on timers.
const step = 10 * time.Millisecond

func newPace(slow bool, size int64, over time.Duration) pace {
	p := pace{chunk: chunk}
	if !slow || size <= 0 || over <= 0 {
		return p
	}
	p.chunk = max(1, min(chunk, int(float64(size)*float64(step)/float64(over))))
	p.each = time.Duration(float64(over) / float64(size))
	return p
}

// wait pauses for as long as n bytes are to take.
func (p pace) wait(ctx context.Context, n int) {
	if p.each > 0 {
		wait(ctx, time.Duration(n)*p.each)
	}
}

// wait pauses, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
