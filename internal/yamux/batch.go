package yamux

import (
	"net"
	"sync"

	"github.com/seed96252745/relay/internal/splice"
)

// gatherSize is the size of the buffer that gathers frames while the connection is
// busy.
const gatherSize = 64 << 10

var gatherPool = sync.Pool{New: func() any { return new([gatherSize]byte) }}

// frame is a frame whose payload is not copied: its writer keeps it, and waits, or a
// pipe holds it. A frame without payload is one only to keep its place behind such a
// frame of the same stream.
type frame struct {
	stream  *Stream
	header  []byte
	payload []byte
	pipe    *splice.Pipe
	sent    bool // guarded by Stream.mu, as is
	err     error
}

// complete reports to the stream that f has been written, or, if err is not nil, never
// will be.
func (f *frame) complete(err error) {
	if f.pipe != nil {
		f.pipe.Release()
	}
	f.stream.frameSent(f, err)
}

// batch is what one write carries: control headers, then the frames that were gathered,
// then at most one that was not.
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

// writeConn writes b to a connection that is not a socket, and waits.
func (b *batch) writeConn(conn net.Conn) error {
	vectors := net.Buffers(b.vectors)
	_, err := vectors.WriteTo(conn)
	return err
}

// copyPayload copies what is left of the frame's payload, which belongs to its writer.
func (b *batch) copyPayload() {
	if n := len(b.vectors); n > 0 && len(b.frame.payload) > 0 {
		b.vectors[n-1] = append([]byte(nil), b.vectors[n-1]...)
	}
}

// pending reports whether something of b is left to write.
func (b *batch) pending() bool { return len(b.vectors) > 0 || b.frame != nil || b.gather != nil }

// release gives back the buffers of the batch, and completes its frame. A failed write
// fails every later one too.
func (b *batch) release(err error) {
	if b.gather != nil {
		gatherPool.Put(b.gather)
	}
	if b.frame != nil {
		b.frame.complete(err)
	}
}
