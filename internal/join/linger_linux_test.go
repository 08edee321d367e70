package join_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// queueable is less than a join lets the kernel hold for a receiver that does not read.
const queueable = 96 << 10

// queueBytes starts a join in which the kernel holds n bytes for the far end of
// side, several times what that end takes without reading.
func queueBytes(t *testing.T, side join.Side, n int) *rig {
	t.Helper()
	r := newRig(t)
	queueIn(t, r, side, n, func() { r.start(r.near[join.A], r.near[join.B]) })
	return r
}

// queueIn is queueBytes of a join that is started so.
func queueIn(t *testing.T, r *rig, side join.Side, n int, start func()) {
	t.Helper()
	if err := r.far[side].SetReadBuffer(n / 8); err != nil {
		t.Fatal(err)
	}
	if err := r.near[side].SetWriteBuffer(2 * n); err != nil {
		t.Fatal(err)
	}
	near := descriptor(t, r.near[side]) // the join takes the other one
	defer func() { _ = unix.Close(near) }()
	start()
	conntest.Write(t, r.far[other(side)], pattern(n))
	// The kernel does not report when the last byte has been written.
	for written(t, near) < n {
		runtime.Gosched()
	}
}

// written returns how many bytes were written to a socket that was accepted. What the peer
// takes between the two system calls is missing, and not counted twice.
func written(t *testing.T, fd int) int {
	t.Helper()
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Bytes_acked) + queued(t, fd, unix.SIOCOUTQ)
}

// queued returns how much a socket holds that its peer has not taken, or that was not read
// from it.
func queued(t *testing.T, fd int, request uint) int {
	t.Helper()
	n, err := unix.IoctlGetInt(fd, request)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// descriptor returns a second descriptor of the socket, which the caller closes.
func descriptor(t *testing.T, conn *transport.Conn) (fd int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(of uintptr) { fd, _ = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// A reset destroys what is still queued, so it has to wait as long as the receiver takes
// that.
func TestResetWaitsForQueuedBytes(t *testing.T) {
	const n, within, tries = queueable, time.Second, 5
	forEachSide(t, func(t *testing.T, side join.Side) {
		for try := 1; ; try++ {
			r := queueBytes(t, side, n)
			since := time.Now()
			_ = r.far[other(side)].Reset()
			got := wantReset(t, r.far[side])
			took := time.Since(since)
			wantFailure(t, r.wait(), other(side))
			switch {
			case bytes.Equal(got, pattern(n)):
				return
			case took < within || try == tries: // or else it was not the join that was late
				t.Fatalf("got %d of the %d bytes that were queued before the reset", len(got), n)
			}
		}
	})
}

// But not for ever: a receiver that does not read would keep dead connections
// alive.
func TestResetWaitsASecondAtMost(t *testing.T) {
	const n = queueable
	forEachSide(t, func(t *testing.T, side join.Side) {
		t.Parallel() // nearly all of it is waiting
		r := queueBytes(t, side, n)
		since := time.Now()
		_ = r.far[other(side)].Reset()
		wantFailure(t, r.wait(), other(side))
		if took := time.Since(since); took < 500*time.Millisecond || took > 4*time.Second {
			t.Errorf("the reset came after %v, want about a second", took)
		}
		if got := wantReset(t, r.far[side]); !bytes.HasPrefix(pattern(n), got) {
			t.Errorf("got %d bytes that were not sent", len(got))
		}
	})
}
