package admission

import "sync/atomic"

// DescriptorBudget is a number of descriptors, so that they do not run out where it
// hurts: users may have all but a reserve, which is for relay clients, and these
// all but what the process needs for itself. Make it with NewDescriptorBudget. Its
// methods may be called concurrently.
type DescriptorBudget struct {
	all  int64
	used atomic.Int64
}

// NewDescriptorBudget gives a budget of so many.
func NewDescriptorBudget(n int) *DescriptorBudget { return &DescriptorBudget{all: int64(n)} }

// The parts of the budget that users, and relay clients, leave alone: 256 and 64,
// or less if there are few.
const (
	userReserve   = 256
	clientReserve = 64
)

// TakeForUser takes n, unless they are for relay clients.
func (d *DescriptorBudget) TakeForUser(n int) bool {
	return d.take(int64(n), min(userReserve, d.all/4))
}

// TakeForClient takes n, unless the process needs them.
func (d *DescriptorBudget) TakeForClient(n int) bool {
	return d.take(int64(n), min(clientReserve, d.all/16))
}

func (d *DescriptorBudget) take(n, reserve int64) bool {
	if d.used.Add(n) > d.all-reserve {
		d.used.Add(-n)
		return false
	}
	return true
}

// Give gives n back.
func (d *DescriptorBudget) Give(n int) { d.used.Add(-int64(n)) }

// Used is how many are taken.
func (d *DescriptorBudget) Used() int { return int(d.used.Load()) }
