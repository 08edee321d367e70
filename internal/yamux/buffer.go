package yamux

import "sync"

// segmentSize is the unit in which received bytes are kept: a stream that has
// little waiting holds one segment, one that has nothing waiting holds none.
const segmentSize = 16 << 10

type segment struct {
	next       *segment
	start, end int // what is filled and not yet read
	data       [segmentSize]byte
}

var segments = sync.Pool{New: func() any { return new(segment) }}

// buffer is a queue of bytes. The zero value is empty.
type buffer struct {
	first, last *segment
	size        int
}

func (b *buffer) write(p []byte) {
	b.size += len(p)
	for len(p) > 0 {
		if b.last == nil || b.last.end == segmentSize {
			b.grow()
		}
		n := copy(b.last.data[b.last.end:], p)
		b.last.end += n
		p = p[n:]
	}
}

func (b *buffer) grow() {
	s := segments.Get().(*segment)
	s.next, s.start, s.end = nil, 0, 0
	if b.last == nil {
		b.first = s
	} else {
		b.last.next = s
	}
	b.last = s
}

func (b *buffer) read(p []byte) (n int) {
	for n < len(p) && b.first != nil {
		s := b.first
		m := copy(p[n:], s.data[s.start:s.end])
		s.start += m
		n += m
		if s.start == s.end {
			b.drop()
		}
	}
	b.size -= n
	return n
}

// drop gives the first segment back.
func (b *buffer) drop() {
	s := b.first
	b.first = s.next
	if b.first == nil {
		b.last = nil
	}
	s.next = nil
	segments.Put(s)
}

func (b *buffer) clear() {
	for b.first != nil {
		b.drop()
	}
	b.size = 0
}
