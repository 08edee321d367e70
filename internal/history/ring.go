package history

import "sync"

// ring keeps the last items that were added, in blocks that are made when they are needed.
// Its methods may be called concurrently.
type ring[T any] struct {
	mu     sync.Mutex // guards what follows
	blocks []*[blockSize]T
	added  int // since the start
}

// blockSize is how many items a reader copies at a time, while others wait.
const blockSize = 256

// newRing returns a ring of so many items, or a few more.
func newRing[T any](size int) *ring[T] {
	return &ring[T]{blocks: make([]*[blockSize]T, (size+blockSize-1)/blockSize)}
}

// add adds an item, in place of the oldest one if the ring is full.
func (r *ring[T]) add(item T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.blocks[r.added/blockSize%len(r.blocks)]
	if *b == nil {
		*b = new([blockSize]T)
	}
	(*b)[r.added%blockSize] = item
	r.added++
}

// last calls see with the items, the latest first, until that returns false. Items that
// are added meanwhile are left out, and so are those whose places they take.
func (r *ring[T]) last(see func(*T) bool) {
	r.mu.Lock()
	end := r.added
	r.mu.Unlock()
	var items [blockSize]T
	for end > 0 {
		start := (end - 1) / blockSize * blockSize
		r.mu.Lock()
		if oldest := r.added - len(r.blocks)*blockSize; start < oldest {
			start = min(oldest, end)
		}
		n := 0
		if start < end {
			n = copy(items[:], r.blocks[start/blockSize%len(r.blocks)][start%blockSize:(end-1)%blockSize+1])
		}
		r.mu.Unlock()
		for i := n - 1; i >= 0; i-- {
			if !see(&items[i]) {
				return
			}
		}
		if n == 0 {
			return
		}
		end = start
	}
}
