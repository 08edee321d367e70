//go:build unix

package join

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// socketSource reads a direction whose source is a socket. It takes a buffer only
// when the runtime's poller has reported that there is something to read, and has none
// while it waits.
type socketSource struct {
	d    *direction
	raw  syscall.RawConn
	room conn.WriteWaiter // dst, if it reports how much it takes
	most int              // how much to read into a buffer

	// What was read last: bytes in a buffer, or an error.
	buf *[bufferSize]byte
	n   int
	err error
}

// newSocketSource returns nil if d does not read from a socket.
func newSocketSource(d *direction) *socketSource {
	socket := socketOf(d.src)
	if socket == nil {
		return nil
	}
	s := &socketSource{d: d, most: bufferSize}
	s.raw, _ = socket.SyscallConn() // fails if it is closed
	s.room, _ = conn.Innermost(d.dst).(conn.WriteWaiter)
	return s
}

// waiterOf returns what waits for c, or nil.
func waiterOf(c conn.Conn) conn.ReadWaiter {
	c = conn.Innermost(c)
	if w, ok := c.(conn.ReadWaiter); ok {
		return w
	}
	if socket := socketOf(c); socket != nil {
		if raw, err := socket.SyscallConn(); err == nil {
			return socketWaiter{raw}
		}
	}
	return nil
}

// socketOf returns the socket that c reads from, TCP's or another, or nil.
func socketOf(c conn.Conn) syscall.Conn {
	if tcp := conn.TCPOf(c); tcp != nil {
		return tcp
	}
	socket, _ := conn.Innermost(c).(syscall.Conn)
	return socket
}

// socketWaiter waits for a socket that is read elsewhere.
type socketWaiter struct{ raw syscall.RawConn }

// WaitReadable polls. MSG_PEEK would take a reset off the socket, and reading would see a
// plain end.
func (w socketWaiter) WaitReadable() {
	_ = w.raw.Read(func(fd uintptr) bool { // what fails here fails in reading
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a descriptor
		n, err := unix.Poll(fds, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

func (s *socketSource) copy() (readErr, writeErr error) {
	if s.raw == nil {
		return net.ErrClosed, nil
	}
	ready := s.ready // made once, not for every read
	for {
		if s.room != nil {
			s.d.writing.Store(true)
			room, err := s.room.WaitWritable()
			s.d.writing.Store(false)
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
		s.d.notifyRead(s.err)
		if s.err != nil {
			return s.err, nil
		}
		err := s.d.write(s.buf[:s.n])
		buffers.Put(s.buf)
		s.buf = nil
		if err != nil {
			return nil, err
		}
	}
}

// ready reads what there is. It reports whether there was anything, an error included;
// otherwise it is called again when there is.
func (s *socketSource) ready(fd uintptr) bool {
	// A short read may leave an end or a reset that came together with the bytes: the
	// poller has reported both at once, and will not do so again. So it takes another
	// read to know.
	s.buf = buffers.Get().(*[bufferSize]byte)
	for {
		var err error
		s.n, err = unix.Read(int(fd), s.buf[:s.most])
		if err == nil && s.n > 0 {
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

// failed handles the error of a read. It returns false if there was nothing to read.
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

// wasReset reports, for a connection whose read side ended while its write side was
// open, whether the end was a reset: after FIN a TCP socket still has a peer, after RST it
// has none. A Unix socket has one, and shows a failure to the read.
func wasReset(c conn.Conn) bool {
	tcp := conn.TCPOf(c)
	if tcp == nil {
		return false
	}
	reset := false
	onSocket(tcp, func(fd int) {
		_, err := unix.Getpeername(fd)
		reset = err != nil // ENOTCONN; Darwin gives EINVAL
	})
	return reset
}

// onSocket calls f with the descriptor of tcp.
func onSocket(tcp *net.TCPConn, f func(fd int)) {
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) }) // fails only when closed
	}
}
