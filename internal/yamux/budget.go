package yamux

import "sync/atomic"

// Budget bounds the bytes that streams hold for readers who are late. Several
// sessions may share one. Its methods may be called concurrently; those of nil
// know no bound.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget gives a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Used is how many bytes are held now.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

func (b *Budget) add(n int) {
	if b != nil {
		b.used.Add(int64(n))
	}
}

// spent tells whether more is held than there should be.
func (b *Budget) spent() bool { return b != nil && b.used.Load() > b.limit }

// short tells whether windows should not grow any more, and those that have
// should shrink: what is promised to peers may still arrive.
func (b *Budget) short() bool { return b != nil && b.used.Load() > b.limit/2 }
