package history

// ring keeps the last items that were added, in blocks that are made when they are needed.
// Its owner locks it.
type ring[T any] struct {
	blocks []*block[T]
	added  int // since the start
}

// block has some of the items of a ring. If an item has no pointers the garbage collector
// does not look beyond the first field.
type block[T any] struct {
	errs  *[blockSize]error // of the items; nil until one has an error
	items [blockSize]T
}

// blockSize is how many items a reader copies at a time, while events wait.
const blockSize = 256

// newRing returns a ring of so many items, or a few more.
func newRing[T any](size int) ring[T] {
	return ring[T]{blocks: make([]*block[T], (size+blockSize-1)/blockSize)}
}

// next adds an item, and returns it for the caller to set. It is what it was before, if the
// ring is full: the oldest item, and zero otherwise.
func (r *ring[T]) next(err error) *T {
	p := &r.blocks[r.added/blockSize%len(r.blocks)]
	if *p == nil {
		*p = new(block[T])
	}
	b, at := *p, r.added%blockSize
	if err != nil && b.errs == nil {
		b.errs = new([blockSize]error)
	}
	if b.errs != nil {
		b.errs[at] = err
	}
	r.added++
	return &b.items[at]
}

// before returns items that were added before the one with that number, and their errors,
// which are none if errs is nil: as many as are in one block, and are kept. The first of
// them has the number start.
func (r *ring[T]) before(end int) (items []T, errs []error, start int) {
	if end <= 0 {
		return nil, nil, 0
	}
	start = max((end-1)/blockSize*blockSize, r.added-len(r.blocks)*blockSize)
	if start >= end {
		return nil, nil, end
	}
	b, from, to := r.blocks[start/blockSize%len(r.blocks)], start%blockSize, (end-1)%blockSize+1
	if b.errs != nil {
		errs = b.errs[from:to]
	}
	return b.items[from:to], errs, start
}
