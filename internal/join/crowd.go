package join

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// budgetShare is the part of what all sockets may hold that stalled joins of one
	// engine may: relay and forwarder may be on one machine, and there are others.
	budgetShare = 16
	// stalledCost is what one stalled join is taken to make the kernel hold: 4 MiB is what
	// Linux lets a local server write that nobody reads (tcp_wmem).
	stalledCost = 4 << 20
)

// crowd counts the directions of an engine's joins that are stalled, against its budget.
// Those of copied joins are not counted, but heed it. Its methods may be called
// concurrently. A nil crowd is never over its budget.
type crowd struct {
	most    int64
	stalled atomic.Int64
	// begun counts the joins that have begun since a time after epoch. Two that begin at
	// once may both set it back, and then it counts too few.
	begun, since atomic.Int64
	epoch        time.Time
}

// fewest is how many joins may stall on the smallest machine.
const fewest = 4

// newCrowd returns a crowd for when all sockets of the machine may hold so much.
func newCrowd(tcpMemory int64) *crowd {
	return &crowd{most: max(fewest, tcpMemory/budgetShare/stalledCost), epoch: time.Now()}
}

// burst is how long a join may take, on a busy machine, to show whether it stalls.
const burst = time.Second

// begin counts a join that begins.
func (c *crowd) begin() {
	now := int64(time.Since(c.epoch))
	if now-c.since.Load() >= int64(burst) {
		c.since.Store(now)
		c.begun.Store(0)
	}
	c.begun.Add(1)
}

// over reports whether more is stalled than the budget is for, or would be if all
// those stall that have just begun.
func (c *crowd) over() bool {
	if c == nil {
		return false
	}
	return c.stalled.Load() > c.most ||
		c.begun.Load() > c.most && int64(time.Since(c.epoch))-c.since.Load() < int64(burst)
}

// firstDue returns how much a direction that begins has to move until feed.moved is to be
// called for it.
func (c *crowd) firstDue() int64 {
	if c.over() {
		return crowdedSettleAfter
	}
	return settleAfter
}

// settleAfter is how much a direction has written when buffers begin to matter: the kernel
// is asked nothing about a connection of short messages.
const (
	settleAfter        = bufferSize
	crowdedSettleAfter = settleAfter / 4
)

// feed is what a direction of a join lets the kernel hold.
type feed struct {
	due     int64 // how many bytes have to be written until moved is to be called
	stalled bool  // counts in the crowd
	feedState
}

// never is more bytes than any direction writes.
const never = math.MaxInt64

// stall counts a direction whose receiver takes no more, and recovered one that moves
// again, or has ended.
func (f *feed) stall(c *crowd) {
	if !f.stalled {
		f.stalled = true
		c.stalled.Add(1)
	}
}

func (f *feed) recovered(c *crowd) {
	if f.stalled {
		f.stalled = false
		c.stalled.Add(-1)
	}
}
