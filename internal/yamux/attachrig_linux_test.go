package yamux_test

import (
	"errors"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/splice"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/yamux"
)

// attached is a stream with a socket; the user has the socket's other end.
type attached struct {
	*yamux.Stream
	tb                 testing.TB
	socket, user       *transport.Conn
	raw                syscall.RawConn
	readable, writable chan struct{} // hold one
}

func attach(tb testing.TB, st *yamux.Stream) *attached {
	tb.Helper()
	socket, user := tcpPair(tb)
	raw, err := socket.SyscallConn()
	check(tb, err)
	a := &attached{st, tb, socket, user, raw, make(chan struct{}, 1), make(chan struct{}, 1)}
	st.Attach(func() { tell(a.readable) }, func() { tell(a.writable) })
	tell(a.readable) // something may have come before
	return a
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// setBuffers gives the socket and its user small buffers.
func (a *attached) setBuffers(size int) {
	check(a.tb, a.socket.SetWriteBuffer(size))
	check(a.tb, a.user.SetReadBuffer(size))
}

// awaitQueued waits until the user has sent n bytes that were not read.
func (a *attached) awaitQueued(n int) {
	a.tb.Helper()
	for queued, start := 0, time.Now(); queued < n; {
		check(a.tb, a.raw.Control(func(fd uintptr) { queued, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }))
		if time.Since(start) > patience {
			a.tb.Fatalf("%d bytes have come, want %d", queued, n)
		}
		runtime.Gosched()
	}
}

// fillOnce calls FillFrom once, when the socket has something.
func (a *attached) fillOnce() (n int, short bool, streamErr, socketErr error) {
	err := a.raw.Read(func(fd uintptr) bool {
		n, short, streamErr, socketErr = a.FillFrom(int(fd))
		if n == 0 && streamErr == nil && socketErr == unix.EAGAIN {
			a.Flush()
			return false
		}
		return true
	})
	if err != nil {
		socketErr = err
	}
	return n, short, streamErr, socketErr
}

// fillUntilFull fills until the stream takes no more, and returns how much it took.
func (a *attached) fillUntilFull() (sum int) {
	a.tb.Helper()
	for {
		n, _, streamErr, socketErr := a.fillOnce()
		sum += n
		switch {
		case streamErr == unix.EAGAIN:
			return sum
		case streamErr != nil || socketErr != nil && socketErr != unix.EAGAIN:
			a.tb.Fatalf("after %d bytes FillFrom returns %v, %v", sum, streamErr, socketErr)
		}
	}
}

// fill sends what the user sends, and its end. It returns any other reason to stop.
func (a *attached) fill() error {
	for {
		_, _, streamErr, socketErr := a.fillOnce()
		switch {
		case streamErr == unix.EAGAIN:
			a.Flush()
			<-a.writable
		case streamErr != nil:
			return streamErr
		case socketErr == io.EOF:
			return a.CloseWrite()
		case socketErr != nil && socketErr != unix.EAGAIN:
			return socketErr
		}
	}
}

// pourOnce calls PourTo until there is no more, or it ends.
func (a *attached) pourOnce() (n int, streamErr, socketErr error) {
	err := a.raw.Write(func(fd uintptr) bool {
		m, err1, err2 := a.PourTo(int(fd))
		n += m
		streamErr, socketErr = err1, err2
		return socketErr != unix.EAGAIN
	})
	if err != nil {
		socketErr = err
	}
	return n, streamErr, socketErr
}

// pour passes what comes on to the user, and its end.
func (a *attached) pour() error {
	for {
		_, streamErr, socketErr := a.pourOnce()
		switch {
		case streamErr == io.EOF:
			return a.socket.CloseWrite()
		case streamErr != nil || socketErr != nil:
			return errors.Join(streamErr, socketErr)
		}
		<-a.readable
	}
}

// tryPour calls PourTo without waiting for the socket.
func (a *attached) tryPour() (n int, streamErr, socketErr error) {
	a.tb.Helper()
	check(a.tb, a.raw.Control(func(fd uintptr) { n, streamErr, socketErr = a.PourTo(int(fd)) }))
	return n, streamErr, socketErr
}

// attachedPair returns a stream with users at both ends, over TCP.
func attachedPair(tb testing.TB, client, server *yamux.Session) (near, far *attached) {
	tb.Helper()
	a, b := openWithoutDeadlines(tb, client, server)
	return attach(tb, a), attach(tb, b)
}

// freePipes returns how many pipes are free.
func freePipes() int {
	var taken []*splice.Pipe
	for p := splice.GetPipe(); p != nil; p = splice.GetPipe() {
		taken = append(taken, p)
	}
	for _, p := range taken {
		p.Release()
	}
	return len(taken)
}

// wantPipes fails a test that loses pipes.
func wantPipes(tb testing.TB) {
	before := freePipes()
	tb.Cleanup(func() {
		if after := freePipes(); after != before {
			tb.Errorf("there were %d pipes, and now there are %d", before, after)
		}
	})
}
