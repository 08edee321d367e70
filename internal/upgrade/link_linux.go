package upgrade

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sendWait is how long the other process may take to read what is sent to it. It reads at
// once; one that is stopped, or hangs, must not hold up this one.
const sendWait = 10 * time.Second

// Link is a connection to the process before this one, or after it. Its methods may be called
// concurrently; one goroutine receives.
type Link struct {
	conn *net.UnixConn
	buf  []byte // of Receive
	oob  []byte

	mu sync.Mutex // held while a message is sent
}

// newLink returns a link over a socket, which it takes over.
func newLink(socket *os.File) (*Link, error) {
	c, err := net.FileConn(socket)
	_ = socket.Close()
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("it is a %T", c)
	}
	return &Link{conn: u, buf: make([]byte, maxMessage+1), oob: make([]byte, unix.CmsgSpace(4))}, nil
}

// pair returns a link, and the socket of its other end. Each message is one packet.
func pair() (*Link, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "link")
	link, err := newLink(os.NewFile(uintptr(fds[0]), "link"))
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return link, theirs, nil
}

// Adopt returns a link whose descriptor has come in a message. It takes fd over.
func Adopt(fd int) (*Link, error) { return newLink(os.NewFile(uintptr(fd), "link")) }

// Share returns a further descriptor of the link, for the process that takes over. The caller
// closes it.
func (l *Link) Share() (fd int, err error) { return Share(l.conn) }

// Share returns a further descriptor of a connection, or of a listener. The caller closes it.
func Share(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlled := raw.Control(func(open uintptr) { fd, err = unix.FcntlInt(open, unix.F_DUPFD_CLOEXEC, 0) })
	if controlled != nil {
		return -1, controlled
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// Close ends the link.
func (l *Link) Close() error { return l.conn.Close() }

// maxTries is how often a descriptor is sent again, each time after tryPause, while the kernel
// holds as many that are on their way as this process may have open.
const (
	maxTries = 100
	tryPause = 10 * time.Millisecond
)

// Send sends a message, with a descriptor unless fd is -1. The descriptor stays the caller's.
func (l *Link) Send(m Message, fd int) error {
	b, err := encode(m)
	if err != nil {
		return err
	}
	var oob []byte
	if fd >= 0 {
		oob = unix.UnixRights(fd)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(sendWait)) // fails as the write does
	for tries := 0; ; tries++ {
		_, _, err = l.conn.WriteMsgUnix(b, oob, nil)
		if !errors.Is(err, unix.ETOOMANYREFS) || tries == maxTries {
			return err
		}
		<-time.After(tryPause)
	}
}

// Receive waits for the next message, and returns its descriptor, which is the caller's, or
// -1. When the other process has ended it returns io.EOF. Without room for the descriptor it
// returns ErrLost.
func (l *Link) Receive() (m Message, fd int, err error) {
	n, oobn, flags, _, err := l.conn.ReadMsgUnix(l.buf, l.oob)
	if err != nil {
		return Message{}, -1, err
	}
	fd, err = descriptor(l.oob[:oobn])
	switch {
	case err != nil:
	case flags&unix.MSG_TRUNC != 0 || flags&unix.MSG_CTRUNC != 0 && fd >= 0: // there were more of them
		err = errTooLarge
	case flags&unix.MSG_CTRUNC != 0:
		err = ErrLost
	}
	if err == nil {
		m, err = decode(l.buf[:n])
	}
	if always, may := m.needsFD(); err == nil && (always && fd < 0 || !may && fd >= 0) {
		err = errNoSense
	}
	if err != nil {
		CloseFD(fd)
		return Message{}, -1, err
	}
	return m, fd, nil
}

// SetReceiveDeadline sets the time after which Receive fails. Zero means never.
func (l *Link) SetReceiveDeadline(t time.Time) error { return l.conn.SetReadDeadline(t) }

// descriptor returns the descriptor that has come with a message, or -1. There is room for
// one only.
func descriptor(oob []byte) (int, error) {
	if len(oob) == 0 {
		return -1, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, os.NewSyscallError("cmsg", err)
	}
	fd := -1
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // something else
		}
		for _, other := range fds {
			CloseFD(fd)
			fd = other
		}
	}
	return fd, nil
}

// CloseFD closes a descriptor, unless it is -1.
func CloseFD(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}
