package splice_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/splice"
)

// patience bounds every wait. Each ends long before, unless the code is wrong.
const patience = 20 * time.Second

// route is two TCP connections: bytes written to from can be read from to, once they
// have been moved from in to out.
type route struct {
	from, in int
	out, to  int
}

// newRoute returns a route. Its in and out are non-blocking; from and to block, for
// patience. A size of buffers other than 0 is set for out and to.
func newRoute(t testing.TB, buffers int) route {
	t.Helper()
	var r route
	r.in, r.from = pair(t, 0)
	r.out, r.to = pair(t, buffers)
	return r
}

// pair returns both ends of a connection over loopback.
func pair(t testing.TB, buffers int) (near, far int) {
	t.Helper()
	near, far = conntest.Sockets(t, buffers)
	t.Cleanup(func() { _, _ = unix.Close(near), unix.Close(far) })
	return near, far
}

// await waits until the kernel reports one of these events for a socket.
func await(t testing.TB, fd int, events int16) {
	t.Helper()
	for limit := time.Now().Add(patience); ; {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		if _, err := unix.Poll(p, 100); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if p[0].Revents&events != 0 {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the socket is %#x, want one of %#x", p[0].Revents, events)
		}
	}
}

// awaitBytes waits until at least n bytes can be read from a socket.
func awaitBytes(t testing.TB, fd, n int) {
	t.Helper()
	for limit := time.Now().Add(patience); ; {
		queued, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if queued >= n {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d bytes have come, want %d", queued, n)
		}
		await(t, fd, unix.POLLIN)
	}
}

func write(t testing.TB, fd int, b []byte) {
	t.Helper()
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Errorf("write: %v", err)
			return
		}
		b = b[n:]
	}
}

func closeWrite(t testing.TB, fd int) {
	t.Helper()
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		t.Error(err)
	}
}

// read reads n bytes, or fewer if the end comes before.
func read(t testing.TB, fd, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	for got := 0; got < n; {
		more, err := unix.Read(fd, b[got:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Errorf("read: after %d of %d bytes: %v", got, n, err)
		}
		if more <= 0 {
			return b[:got]
		}
		got += more
	}
	return b
}

// pattern returns n bytes, no two stretches of which are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// take takes a pipe, and fails the test if there is none.
func take(t testing.TB) *splice.Pipe {
	t.Helper()
	p := splice.GetPipe()
	if p == nil {
		t.Fatal("there is no pipe")
	}
	return p
}

// takeAll takes pipes until there are none.
func takeAll(t testing.TB) (taken []*splice.Pipe) {
	t.Helper()
	for {
		p := splice.GetPipe()
		if p == nil {
			return taken
		}
		if taken = append(taken, p); len(taken) > 10_000 {
			t.Fatal("there is no end of pipes")
		}
	}
}

// descriptors returns the number of descriptors of the process.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
