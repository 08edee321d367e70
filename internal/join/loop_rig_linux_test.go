package join_test

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// bothSides runs joins with either side in the leading part. Both start before the first
// is checked, since a check takes seconds, most of which are waiting.
func bothSides(t *testing.T, begin func(t *testing.T, side join.Side) (check func())) {
	t.Helper()
	var checks [2]func()
	for side := range checks {
		checks[side] = begin(t, join.Side(side))
	}
	for side, check := range checks {
		before := t.Failed()
		if check(); t.Failed() && !before {
			t.Logf("this was with %s in the leading part", name(join.Side(side)))
		}
	}
}

// holdUp is fill, but may return a moment before all is full.
func holdUp(t *testing.T, conn *transport.Conn) (taken int64) {
	t.Helper()
	for chunk := pattern(64 << 10); ; {
		if err := conn.SetWriteDeadline(time.Now().Add(40 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Write(chunk)
		if taken += int64(n); n < len(chunk) {
			if !isTimeout(err) {
				t.Fatalf("after %d bytes: %v", taken, err)
			}
			return taken
		}
	}
}

// crowd is many joins of one set. Its context ends with the test.
type crowd struct {
	t       *testing.T
	engine  *join.Engine
	set     *join.Set
	near    [][2]*transport.Conn
	far     [][2]*transport.Conn
	results []chan join.Result
	stop    context.CancelFunc
	ctx     context.Context
}

// newCrowd makes the connections of n joins, which do not run yet. A size of
// buffers other than 0 is set for all of them.
func newCrowd(t *testing.T, n, buffers int) *crowd {
	t.Helper()
	needDescriptors(t, 4*n)
	engine, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, engine: engine, set: engine.NewSet(nil)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		c.stop()
		for i := range c.near {
			for side := range 2 {
				_, _ = c.near[i][side].Reset(), c.far[i][side].Reset()
			}
		}
		engine.Close()
	})
	small := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return setBuffers(raw, buffers) }}
	l, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error { return setBuffers(raw, buffers) }}
	for range n {
		var near, far [2]*transport.Conn
		for side := range 2 {
			dialed, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			near[side], far[side] = transport.NewConn(accepted.(*net.TCPConn)), transport.NewConn(dialed.(*net.TCPConn))
			if err := far[side].SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
		}
		c.near, c.far = append(c.near, near), append(c.far, far)
		c.results = append(c.results, make(chan join.Result, 1))
	}
	return c
}

func setBuffers(raw syscall.RawConn, size int) (err error) {
	if size == 0 {
		return nil
	}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
		if err == nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, size)
		}
	}); err != nil {
		return err
	}
	return err
}

func (c *crowd) join(i int) {
	c.set.Join(c.ctx, c.near[i][join.A], c.near[i][join.B], join.Options{}, func(r join.Result) { c.results[i] <- r })
}

func (c *crowd) joinAll() {
	for i := range c.near {
		c.join(i)
	}
}

func (c *crowd) wait(i int) join.Result {
	c.t.Helper()
	return await(c.t, c.results[i])
}

// needDescriptors skips a test for which there are too few.
func needDescriptors(t *testing.T, n int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if need := uint64(n + 700); limit.Cur < need { // with all the pipes, and what else is open
		t.Skipf("this needs %d descriptors, and RLIMIT_NOFILE allows %d", need, limit.Cur)
	}
}

// sockets counts the sockets of the process.
func sockets(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		var stat unix.Stat_t
		if unix.Stat("/proc/self/fd/"+entry.Name(), &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFSOCK {
			n++
		}
	}
	return n
}
