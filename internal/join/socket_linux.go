package join

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// bulk is how much must come at a time for the kernel to go on moving it:
// below it a pipe costs more than a copy does.
const bulk = 32 << 10

// socketSource reads a direction whose source is a TCP socket. It takes a
// buffer or a pipe only when the runtime's poller has said that there is
// something to read, and has neither while it waits.
type socketSource struct {
	d    *direction
	raw  syscall.RawConn
	room Roomy           // dst, if it says how much it takes
	sink syscall.RawConn // dst's socket, if it is one

	moving bool // much comes at a time, so the kernel moves it
	most   int  // how much to read into a buffer

	// What was read last: bytes in a buffer, bytes in a pipe, or an error.
	buf  *[bufferSize]byte
	n    int
	pipe *pipe
	err  error
}

// newSocketSource gives nil if d does not read from a socket.
func newSocketSource(d *direction) *socketSource {
	tcp := tcpOf(d.src)
	if tcp == nil {
		return nil
	}
	s := &socketSource{d: d, raw: rawOf(tcp), sink: rawOf(tcpOf(d.dst)), most: bufferSize}
	s.room, _ = d.dst.(Roomy)
	return s
}

// rawOf gives nil for nil, and for a connection that is closed.
func rawOf(tcp *net.TCPConn) syscall.RawConn {
	if tcp == nil {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

func (s *socketSource) copy() (readErr, writeErr error) {
	if s.raw == nil {
		return net.ErrClosed, nil
	}
	ready := s.ready // made once, not for every read
	for {
		if s.room != nil {
			room, err := s.room.Room()
			if err != nil {
				return nil, err
			}
			s.most = min(room, bufferSize)
		}
		// Nothing may wait for dst inside of this call: as long as it lasts,
		// closing src waits for it.
		if err := s.raw.Read(ready); err != nil {
			return err, nil
		}
		s.arrived()
		if s.err != nil {
			return s.err, nil
		}
		if err := s.write(); err != nil {
			return nil, err
		}
	}
}

// ready reads what there is. It tells whether there was anything, an error
// included; otherwise it is called again when there is.
func (s *socketSource) ready(fd uintptr) bool {
	if s.moving {
		if s.pipe = takePipe(); s.pipe != nil {
			return s.fillPipe(int(fd))
		}
		s.moving = false // pipes are short: copy
	}
	// A read that was short leaves nothing behind, but perhaps an end or a
	// reset that came together with the bytes: the poller has told of both at
	// once, and will not do so again. So it takes another read to know.
	return s.fillBuffer(int(fd))
}

func (s *socketSource) fillBuffer(fd int) bool {
	s.buf = buffers.Get().(*[bufferSize]byte)
	for {
		var err error
		s.n, err = unix.Read(fd, s.buf[:s.most])
		if err == nil && s.n > 0 {
			s.moving = s.n == bufferSize && s.sink != nil
			return true
		}
		if err == unix.EINTR {
			continue
		}
		buffers.Put(s.buf)
		s.buf = nil
		return s.failed(err)
	}
}

// fillPipe has the kernel move what there is into the pipe. Only a read is
// believed about an end or an error: splice also stops at urgent data.
func (s *socketSource) fillPipe(fd int) bool {
	for {
		n, err := unix.Splice(fd, nil, s.pipe.in, nil, s.pipe.size, spliceFlags)
		if err == nil && n > 0 {
			s.pipe.holds = int(n)
			s.moving = n >= bulk
			return true
		}
		if err == unix.EINTR {
			continue
		}
		s.pipe.giveBack()
		s.pipe, s.moving = nil, false
		return s.fillBuffer(fd)
	}
}

// failed sorts out why nothing was read. It gives false if there was nothing.
func (s *socketSource) failed(err error) bool {
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	s.err = io.EOF
	if err != nil {
		s.err = os.NewSyscallError("read", err)
	}
	return true
}

// write hands on what was read, and gives back what holds it.
func (s *socketSource) write() error {
	if s.pipe != nil {
		defer func() {
			s.pipe.giveBack()
			s.pipe = nil
		}()
		return s.pour()
	}
	defer func() {
		buffers.Put(s.buf)
		s.buf = nil
	}()
	return s.d.write(s.buf[:s.n])
}

// pour moves what the pipe holds on to dst.
func (s *socketSource) pour() error {
	for s.pipe.holds > 0 {
		poured := 0
		var failure error
		err := s.sink.Write(func(fd uintptr) bool {
			var n int
			n, failure = s.pipe.pour(int(fd))
			poured += n
			return !errors.Is(failure, unix.EAGAIN)
		})
		s.d.moved(poured)
		switch {
		case err != nil && s.d.slow(poured, err):
		case err != nil:
			return err
		case failure != nil:
			return os.NewSyscallError("splice", failure)
		}
	}
	return nil
}

// arrived tells the source's owner, once, that something has come.
func (s *socketSource) arrived() {
	if s.d.arrived {
		return
	}
	s.d.arrived = true
	if owner, ok := s.d.src.(Awaited); ok {
		owner.Arrived(s.err)
	}
}
