package join

import (
	"context"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// throttle has both directions of a join keep to its limiter. Nil is no bound.
type throttle struct {
	limiter *rate.Limiter
	ctx     context.Context // done when nothing has to be waited for any more
	stop    context.CancelFunc
	waiting atomic.Int32 // directions whose bytes may not be written yet
}

func newThrottle(limiter *rate.Limiter) *throttle {
	if limiter == nil {
		return nil
	}
	t := &throttle{limiter: limiter}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// portion returns how many of n bytes may be written at once.
func (t *throttle) portion(n int) int {
	if t == nil {
		return n
	}
	return min(n, t.limiter.Burst())
}

// wait waits until n bytes may be written, and reports whether they may: release ends
// it. The burst may have become smaller since portion was called.
func (t *throttle) wait(n int) bool {
	if t == nil {
		return true
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	for n > 0 && t.ctx.Err() == nil {
		if some := t.portion(n); t.limiter.WaitN(t.ctx, some) == nil {
			n -= some
		}
	}
	return n == 0
}

// release ends all waiting, now and later.
func (t *throttle) release() {
	if t != nil {
		t.stop()
	}
}

// isWaiting reports whether bytes are held back at the moment.
func (t *throttle) isWaiting() bool { return t != nil && t.waiting.Load() > 0 }
