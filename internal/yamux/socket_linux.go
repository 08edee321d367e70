package yamux

import (
	"errors"
	"math"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
	"github.com/seed96252745/relay/internal/splice"
)

// socket is the TCP socket of a session. It can be tried without waiting, and payload
// moves to and from it through pipes. The runtime's poller watches it, or an event loop.
// One goroutine at a time may write, and one may read.
type socket struct {
	raw  syscall.RawConn
	conn unwatchable // or nil: the poller watches the socket for good
	// calls is set once the runtime's poller does not watch it any more, so that raw is
	// of no use.
	calls atomic.Pointer[calls]
	next  atomic.Pointer[eventloop.Loop] // is to serve it, or does
}

// calls are system calls, with what they are for and their results: a function made for
// each of them would be allocated.
type calls struct {
	writeNow, readNow func(fd uintptr)
	writing           *batch
	writeErr          error
	reading           []byte
	readN             int
	readErr           error
}

func newCalls() *calls {
	c := new(calls)
	c.writeNow = func(fd uintptr) { c.writeErr = c.writing.writeTo(int(fd)) }
	c.readNow = func(fd uintptr) { c.readN, c.readErr = splice.Read(int(fd), c.reading) }
	return c
}

// unwatch takes the socket from the runtime's poller.
func (s *socket) unwatch() error {
	err := s.conn.Unwatch()
	if err == nil {
		s.calls.Store(newCalls())
	}
	return err
}

// unwatchable is a connection that the runtime's poller need not watch.
type unwatchable interface {
	// Unwatch takes the connection from the runtime's poller. Reads and writes that
	// wait fail.
	Unwatch() error
	// Control calls f with the descriptor, which is valid meanwhile.
	Control(f func(fd uintptr)) error
}

// socketOf returns nil if conn is not a TCP socket. A layer above one, such as TLS, is
// not: the bytes on the socket are not its own.
func socketOf(conn net.Conn) *socket {
	c, ok := conn.(interface{ TCP() *net.TCPConn })
	if !ok {
		return nil
	}
	tcp := c.TCP()
	if tcp == nil {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // closed already, which a read will report
	}
	s := &socket{raw: raw}
	s.conn, _ = conn.(unwatchable)
	return s
}

// control calls f with the descriptor, which is valid meanwhile.
func (s *socket) control(f func(fd uintptr)) error {
	if s.calls.Load() != nil {
		return s.conn.Control(f)
	}
	err := s.raw.Control(f)
	if err != nil && s.conn != nil { // unwatch may have been called meanwhile
		return s.conn.Control(f)
	}
	return err
}

// write writes b as far as the socket takes it. If something is left it returns EAGAIN,
// and can be called again for the rest.
func (s *socket) write(b *batch) error {
	c := s.calls.Load()
	if c == nil {
		return s.writeWatched(b)
	}
	c.writing = b
	err := s.conn.Control(c.writeNow)
	c.writing = nil
	if err != nil {
		return err
	}
	return c.writeErr
}

func (s *socket) writeWatched(b *batch) error {
	var err error
	rawErr := s.raw.Write(func(fd uintptr) bool {
		err = b.writeTo(int(fd))
		return true
	})
	if rawErr != nil {
		return rawErr
	}
	return err
}

// tryRead reads what has come, or returns EAGAIN. It is for after unwatch.
func (s *socket) tryRead(b []byte) (int, error) {
	c := s.calls.Load()
	c.reading = b
	err := s.conn.Control(c.readNow)
	c.reading = nil
	if err != nil {
		return 0, err
	}
	return c.readN, c.readErr
}

// tryFillPipe returns up to limit bytes of what has come in a pipe, or EAGAIN. It returns
// nil if there is no pipe, or nothing will come; a read then shows why.
func (s *socket) tryFillPipe(limit int64) (p *splice.Pipe, err error) {
	if p = splice.GetPipe(); p == nil {
		return nil, nil
	}
	n := 0
	closed := s.control(func(fd uintptr) { n, err = p.Fill(int(fd), int(min(limit, math.MaxInt32))) })
	if n > 0 {
		return p, nil
	}
	p.Release()
	if closed != nil || !errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	return nil, err
}

// ackedBytes returns how many bytes the peer's kernel has acknowledged, how long ago
// its last ACK came, and whether there are more to acknowledge.
func (s *socket) ackedBytes() (n uint64, ago time.Duration, more bool) {
	_ = s.control(func(fd uintptr) { // fails only when closed
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		n, ago = info.Bytes_acked, time.Duration(info.Last_ack_recv)*time.Millisecond
		more = info.Unacked > 0 || info.Notsent_bytes > 0
	})
	return n, ago, more
}

// waitWritable waits until a write would be taken, or would fail.
func (s *socket) waitWritable() error {
	return s.raw.Write(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(poll, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}

func (b *batch) writeTo(fd int) error {
	flags := unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
	if b.pipe() != nil {
		flags |= unix.MSG_MORE // one packet with the content of the pipe
	}
	for len(b.vectors) > 0 {
		n, err := b.send(fd, flags)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("sendmsg", err)
		}
		b.advance(n)
	}
	if p := b.pipe(); p != nil {
		_, err := p.Pour(fd)
		return os.NewSyscallError("splice", err)
	}
	return nil
}

// send writes the vectors as far as the socket takes them in one call. The call that takes
// several allocates.
func (b *batch) send(fd, flags int) (int, error) {
	if len(b.vectors) == 1 && b.pipe() == nil {
		return unix.Write(fd, b.vectors[0])
	}
	return unix.SendmsgBuffers(fd, b.vectors, nil, nil, flags)
}

// read waits for something to read, and reads into the buffer that getBuffer returns.
// So no buffer is held while nothing comes.
func (s *socket) read(getBuffer func() []byte, releaseBuffer func()) (n int, err error) {
	rawErr := s.raw.Read(func(fd uintptr) bool {
		n, err = splice.Read(int(fd), getBuffer())
		if errors.Is(err, unix.EAGAIN) {
			releaseBuffer()
			return false
		}
		return true
	})
	if rawErr != nil {
		return 0, rawErr
	}
	return n, err
}

// fillPipe waits for something to come, and returns up to limit bytes of it in a pipe.
// It returns nil if there is no pipe, or nothing will come; a read then shows why.
func (s *socket) fillPipe(limit int64) (p *splice.Pipe) {
	_ = s.raw.Read(func(fd uintptr) bool { // a read fails too
		if p = splice.GetPipe(); p == nil {
			return true
		}
		n, err := p.Fill(int(fd), int(min(limit, math.MaxInt32)))
		if n > 0 {
			return true
		}
		p.Release()
		p = nil
		return !errors.Is(err, unix.EAGAIN)
	})
	return p
}
