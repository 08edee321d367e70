package yamux

import (
	"net"
	"sync"

	"github.com/seed96252745/relay/internal/splice"
)

// gatherSize is what frames are gathered in while the connection is busy.
const gatherSize = 64 << 10

var gathers = sync.Pool{New: func() any { return new([gatherSize]byte) }}

// frame is a frame whose payload is not copied: it stays with its writer, who
// waits, or is in a pipe. A frame without payload only has to keep its place
// behind such a one of the same stream.
type frame struct {
	stream  *Stream
	header  []byte
	payload []byte
	pipe    *splice.Pipe
	sent    bool // guarded by Stream.mu, as is
	err     error
}

// done says that f has been written, or, if err is not nil, never will be.
func (f *frame) done(err error) {
	if f.pipe != nil {
		f.pipe.GiveBack()
	}
	f.stream.frameSent(f, err)
}

// batch is what is written at once: headers that concern no order, then frames
// that were gathered, then at most one that was not.
type batch struct {
	vectors [][]byte // what is left to write, before the pipe
	backing [5][]byte
	gather  *[gatherSize]byte
	frame   *frame
}

func (b *batch) pipe() *splice.Pipe {
	if b.frame == nil {
		return nil
	}
	return b.frame.pipe
}

// advance takes the first n bytes off the vectors.
func (b *batch) advance(n int) {
	for n > 0 {
		first := min(n, len(b.vectors[0]))
		b.vectors[0] = b.vectors[0][first:]
		n -= first
		if len(b.vectors[0]) == 0 {
			b.vectors = b.vectors[1:]
		}
	}
}

// writeConn writes b to a connection that is no socket, and waits.
func (b *batch) writeConn(conn net.Conn) error {
	vectors := net.Buffers(b.vectors)
	_, err := vectors.WriteTo(conn)
	return err
}

func (b *batch) stream() *Stream {
	if b.frame == nil {
		return nil
	}
	return b.frame.stream
}

// own copies what is left of the frame's payload, which is its writer's.
func (b *batch) own() {
	if n := len(b.vectors); n > 0 && len(b.frame.payload) > 0 {
		b.vectors[n-1] = append([]byte(nil), b.vectors[n-1]...)
	}
}

// started tells whether there is something left of b.
func (b *batch) started() bool { return len(b.vectors) > 0 || b.frame != nil || b.gather != nil }

// finish gives back what the batch was made of. A write that failed is the end
// of all others too.
func (b *batch) finish(err error) {
	if b.gather != nil {
		gathers.Put(b.gather)
	}
	if b.frame != nil {
		b.frame.done(err)
	}
}
