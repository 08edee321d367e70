package yamux

import (
	"sync"

	"github.com/seed96252745/relay/internal/splice"
)

// segmentSize is the unit in which received bytes are kept in memory: a stream with
// little unread holds one segment, a stream with nothing unread holds none.
const segmentSize = 16 << 10

// chunk is a part of the received bytes.
type chunk struct {
	next       *chunk
	pipe       *splice.Pipe // holds the bytes, or else
	data       *[segmentSize]byte
	start, end int // of the bytes in data that are not yet read
}

// Chunks come from pools, or each frame would allocate one.
var (
	segmentPool = sync.Pool{New: func() any { return &chunk{data: new([segmentSize]byte)} }}
	pipePool    = sync.Pool{New: func() any { return new(chunk) }} // for chunks with a pipe
)

func (c *chunk) size() int {
	if c.pipe != nil {
		return c.pipe.Len()
	}
	return c.end - c.start
}

// free gives back the chunk, which nobody may use from then on, with its pipe or segment.
func (c *chunk) free() {
	if c.pipe != nil {
		c.pipe.Release()
		c.pipe = nil
		pipePool.Put(c)
		return
	}
	c.start, c.end = 0, 0
	segmentPool.Put(c)
}

// buffer is a queue of bytes. The zero value is empty.
type buffer struct {
	first, last *chunk
	size        int
	pipes       int // chunks that are in pipes
}

func (b *buffer) write(p []byte) {
	b.size += len(p)
	for len(p) > 0 {
		if b.last == nil || b.last.pipe != nil || b.last.end == segmentSize {
			b.push(segmentPool.Get().(*chunk))
		}
		n := copy(b.last.data[b.last.end:], p)
		b.last.end += n
		p = p[n:]
	}
}

// writePipe appends the content of p, and owns p from then on.
func (b *buffer) writePipe(p *splice.Pipe) {
	b.size += p.Len()
	b.pipes++
	c := pipePool.Get().(*chunk)
	c.pipe = p
	b.push(c)
}

func (b *buffer) push(c *chunk) {
	if b.last == nil {
		b.first = c
	} else {
		b.last.next = c
	}
	b.last = c
}

// read reads from memory: a stream that is read this way gets nothing in pipes.
func (b *buffer) read(p []byte) (n int) {
	for n < len(p) && b.first != nil {
		c := b.first
		m := copy(p[n:], c.data[c.start:c.end])
		c.start += m
		n += m
		if c.start == c.end {
			b.removeFirst().free()
		}
	}
	b.size -= n
	return n
}

// takeChunk removes the first chunk and returns it, or nil.
func (b *buffer) takeChunk() *chunk {
	c := b.removeFirst()
	if c != nil {
		b.size -= c.size()
	}
	return c
}

func (b *buffer) removeFirst() *chunk {
	c := b.first
	if c == nil {
		return nil
	}
	b.first = c.next
	if b.first == nil {
		b.last = nil
	}
	if c.pipe != nil {
		b.pipes--
	}
	c.next = nil
	return c
}

// putBack makes c the first chunk again.
func (b *buffer) putBack(c *chunk) {
	b.size += c.size()
	if c.pipe != nil {
		b.pipes++
	}
	c.next = b.first
	b.first = c
	if b.last == nil {
		b.last = c
	}
}

func (b *buffer) clear() {
	for c := b.removeFirst(); c != nil; c = b.removeFirst() {
		c.free()
	}
	b.size = 0
}
