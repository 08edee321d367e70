package admission

import (
	"sync"
	"sync/atomic"
)

// QuotaTable counts what each owner has at a time. Its zero value is ready, and its
// methods may be called concurrently.
type QuotaTable[K comparable] struct {
	mu   sync.Mutex // guards what follows
	used map[K]int
}

// Acquire counts one more for an owner that has fewer than limit, and reports whether
// it did.
func (q *QuotaTable[K]) Acquire(owner K, limit int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used[owner] >= limit {
		return false
	}
	q.addLocked(owner)
	return true
}

// Add counts one more, whatever the limit.
func (q *QuotaTable[K]) Add(owner K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addLocked(owner)
}

func (q *QuotaTable[K]) addLocked(owner K) {
	if q.used == nil {
		q.used = make(map[K]int)
	}
	q.used[owner]++
}

// Release counts one less.
func (q *QuotaTable[K]) Release(owner K) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used[owner]--; q.used[owner] == 0 {
		delete(q.used, owner)
	}
}

// BoundedCounter counts up to a limit. Its zero value is ready.
type BoundedCounter struct{ n atomic.Int64 }

// Acquire counts one more if there are fewer than limit, and reports whether it did.
func (c *BoundedCounter) Acquire(limit int) bool {
	for {
		n := c.n.Load()
		if n >= int64(limit) {
			return false
		}
		if c.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release counts one less.
func (c *BoundedCounter) Release() { c.n.Add(-1) }

// Len returns the count.
func (c *BoundedCounter) Len() int { return int(c.n.Load()) }
