package yamux_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// FillFrom stops at the peer's window, to the byte, and goes on with each update.
func TestFillWindow(t *testing.T) {
	session, peer := newPeer(t, yamux.Server, accepting)
	a := attach(t, peer.accept(session, 1))
	said := pattern(34, 0, 2*window)
	saying := async(func() error { _, err := a.user.Write(said); return err })
	sum, read := 0, 0
	receive := func(n int) {
		t.Helper()
		for want := read + n; read < want; {
			f, err := peer.receive()
			check(t, err)
			if f.kind != typeData || f.body != string(said[read:read+len(f.body)]) {
				t.Fatalf("after %d bytes came %v", read, f)
			}
			read += len(f.body)
		}
	}
	got := async(func() error { receive(window); return nil })
	for sum < window {
		sum += a.fillUntilFull()
		if sum < window {
			wait(t, a.writable, "space")
		}
	}
	a.Flush()
	wait(t, got, "the window's bytes")
	for _, n := range []int{1, 100, 4097, 50_000, 100_000} {
		for len(a.writable) > 0 {
			<-a.writable
		}
		if more, _, streamErr, _ := a.fillOnce(); more != 0 || streamErr != unix.EAGAIN {
			t.Fatalf("FillFrom returns %d, %v without a window", more, streamErr)
		}
		if len(a.writable) > 0 {
			t.Error("onWritable is called without space")
		}
		peer.send(update(1, 0, uint32(n)))
		wait(t, a.writable, "space")
		got := async(func() error { receive(n); return nil })
		for sum := 0; sum < n; {
			sum += a.fillUntilFull()
			if sum > n {
				t.Fatalf("%d bytes are sent, where the window is %d", sum, n)
			}
			if a.Flush(); sum < n {
				wait(t, a.writable, "space")
			}
		}
		wait(t, got, "the window's bytes")
	}
	peer.wantNothing()
	_ = a.user.Reset()
	<-saying
}

// FillFrom tells a short read from one that may have left bytes, and an end from an
// error.
func TestFillShort(t *testing.T) {
	a, b := streams(t)
	end := attach(t, a)
	conntest.Write(t, end.user, "hello")
	if n, short, err1, err2 := end.fillOnce(); n != 5 || !short || err1 != nil || err2 != nil {
		t.Errorf("FillFrom returns %d, %v, %v, %v", n, short, err1, err2)
	}
	end.Flush()
	conntest.WantRead(t, b, "hello")
	check(t, end.raw.Control(func(fd uintptr) {
		if n, _, err1, err2 := end.FillFrom(int(fd)); n != 0 || err1 != nil || err2 != unix.EAGAIN {
			t.Errorf("without data FillFrom returns %d, %v, %v", n, err1, err2)
		}
	}))
	saying := async(func() error { _, err := end.user.Write(make([]byte, window)); return err })
	reading := async(func() error { _, err := io.CopyN(io.Discard, b, window); return err })
	for sum := 0; sum < window; {
		n, short, err1, err2 := end.fillOnce()
		if sum += n; err1 == unix.EAGAIN {
			wait(t, end.writable, "space")
		} else if n == 0 && !short || err1 != nil || err2 != nil && err2 != unix.EAGAIN {
			t.Fatalf("FillFrom returns %d, %v, %v, %v", n, short, err1, err2)
		}
	}
	end.Flush()
	check(t, wait(t, saying, "the user's end"))
	check(t, wait(t, reading, "the window's bytes"))
	check(t, end.user.CloseWrite())
	for range 2 {
		if n, _, err1, err2 := end.fillOnce(); n != 0 || err1 != nil || err2 != io.EOF {
			t.Errorf("at the end FillFrom returns %d, %v, %v", n, err1, err2)
		}
	}
	check(t, end.CloseWrite())
	if n, _, err1, _ := end.fillOnce(); n != 0 || !errors.Is(err1, unix.EPIPE) {
		t.Errorf("after CloseWrite FillFrom returns %d, %v", n, err1)
	}
	wantReadErr(t, b, io.EOF)
}

// A stream that fills at full speed gets no more than the others, although its frames
// are larger than those of Write.
func TestAttachedFairShares(t *testing.T) {
	const count = 8
	session, peer := newPeer(t, yamux.Server, accepting)
	var ends []*attached
	for i := range uint32(count) {
		ends = append(ends, attach(t, peer.accept(session, 2*i+1)))
		peer.send(update(2*i+1, 0, 1<<30))
	}
	peer.sync()
	var running []<-chan error
	peer.conn = lateConn{peer.conn} // so that all have to wait for it
	wantShares(t, peer, count, 96<<20, func() {
		for _, a := range ends {
			running = append(running, async(a.fill), async(func() error {
				_, err := io.Copy(a.user, endless{})
				return err
			}))
		}
	})
	session.Close()
	for _, a := range ends {
		_ = a.user.Reset()
	}
	for _, r := range running {
		wait(t, r, "the end")
	}
}

// lateConn delays its reads.
type lateConn struct{ resettableConn }

func (c lateConn) Read(b []byte) (int, error) {
	if len(b) > 12 {
		<-time.After(time.Millisecond)
	}
	return c.resettableConn.Read(b)
}

// endless never ends.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
