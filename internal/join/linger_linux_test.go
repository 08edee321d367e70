package join_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// queueBytes starts a join in which the kernel holds n bytes for the far end of
// side, several times what that end takes without reading.
func queueBytes(t *testing.T, side join.Side, n int) *rig {
	t.Helper()
	r := newRig(t)
	if err := r.far[side].SetReadBuffer(n / 8); err != nil {
		t.Fatal(err)
	}
	if err := r.near[side].SetWriteBuffer(2 * n); err != nil {
		t.Fatal(err)
	}
	r.start(r.near[join.A], r.near[join.B])
	write(t, r.far[other(side)], pattern(n))
	// The kernel tells nobody when the last byte has been moved.
	for queued(t, r.near[side], unix.SIOCOUTQ)+queued(t, r.far[side], unix.SIOCINQ) < n {
		runtime.Gosched()
	}
	return r
}

// queued asks how much a socket holds that its peer has not taken, or that was
// not read from it.
func queued(t *testing.T, conn *transport.Conn, request uint) (n int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), request) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A reset destroys what is still queued, so it has to wait for it, as long as
// the receiver takes it.
func TestResetWaitsForQueuedBytes(t *testing.T) {
	const n = 512 << 10
	forEachSide(t, func(t *testing.T, side join.Side) {
		r := queueBytes(t, side, n)
		_ = r.far[other(side)].Reset()
		if got := wantReset(t, r.far[side]); !bytes.Equal(got, pattern(n)) {
			t.Errorf("got %d of the %d bytes that were queued before the reset", len(got), n)
		}
		wantFailure(t, r.wait(), other(side))
	})
}

// But not for ever: a receiver that does not read would keep dead connections
// alive.
func TestResetWaitsASecondAtMost(t *testing.T) {
	const n = 512 << 10
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
