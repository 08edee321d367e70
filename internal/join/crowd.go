package join

import (
	"math"
	"sync/atomic"
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
}

// fewest is how many joins may stall on the smallest machine.
const fewest = 4

// newCrowd returns a crowd for when all sockets of the machine may hold so much.
func newCrowd(tcpMemory int64) *crowd {
	return &crowd{most: max(fewest, tcpMemory/budgetShare/stalledCost)}
}

// over reports whether more is stalled than the budget is for.
func (c *crowd) over() bool { return c != nil && c.stalled.Load() > c.most }

// Stalled returns how many directions of joins are stalled, and how many may be until the
// kernel holds less for each. On systems without event loops none is counted.
func (e *Engine) Stalled() (n, most int64) { return e.crowd.stalled.Load(), e.crowd.most }

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
	due int64 // how many bytes have to be written until moved is to be called
	feedState
}

// never is more bytes than any direction writes.
const never = math.MaxInt64
