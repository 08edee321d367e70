package admission

import "sync/atomic"

// DescriptorBudget counts descriptors, so that they do not run out where it hurts: users
// may have all but a reserve for relay clients, and relay clients all but what the process
// needs for itself. Make it with NewDescriptorBudget. Its methods may be called
// concurrently.
type DescriptorBudget struct {
	all  int64
	used atomic.Int64
}

// NewDescriptorBudget returns a budget of n descriptors.
func NewDescriptorBudget(n int) *DescriptorBudget { return &DescriptorBudget{all: int64(n)} }

// The parts of the budget that are not for users (256), and not for relay clients (64).
// Of a small budget they are less.
const (
	userReserve   = 256
	clientReserve = 64
)

// DescriptorsForUsers returns how many of a budget of n descriptors are for users.
func DescriptorsForUsers(n int64) int64 { return n - min(userReserve, n/4) }

// TakeForUser takes n descriptors if as many are left for users, and reports whether it did.
func (d *DescriptorBudget) TakeForUser(n int) bool {
	return d.take(int64(n), min(userReserve, d.all/4))
}

// TakeForClient takes n descriptors if as many are left for relay clients, and reports
// whether it did.
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

// Give returns n descriptors to the budget.
func (d *DescriptorBudget) Give(n int) { d.used.Add(-int64(n)) }

// All returns how many there are, or math.MaxInt if they are not bounded.
func (d *DescriptorBudget) All() int { return int(d.all) }

// Used returns how many descriptors are taken.
func (d *DescriptorBudget) Used() int { return int(d.used.Load()) }
