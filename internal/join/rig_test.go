package join_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// patience bounds every wait. Only with a bug does a wait take so long.
const patience = 20 * time.Second

// rig is a join in progress and its two far ends.
type rig struct {
	t      *testing.T
	cancel context.CancelCauseFunc // of the context of the join
	ctx    context.Context
	near   [2]*transport.Conn // what is joined, by side
	far    [2]*transport.Conn // the peers
	result chan join.Result
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, result: make(chan join.Result, 1)}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	for side := range r.near {
		r.near[side], r.far[side] = conntest.Pair(t)
	}
	renew(t, r.far)
	return r
}

// renew puts deadlines off, for a test that waits so often that a busy machine may take
// long for all of it.
func renew(t *testing.T, far [2]*transport.Conn) {
	t.Helper()
	for _, conn := range far {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
}

// joinTo joins a and b on an engine of their own.
func joinTo(t *testing.T, ctx context.Context, a, b conn.Conn, result chan<- join.Result) { //nolint:revive // t comes first in tests
	t.Helper()
	var o join.Options
	if strings.Contains(t.Name(), limited) {
		o.Limiter = highLimit()
	}
	if strings.Contains(t.Name(), copied) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			result <- join.CopyJoin(ctx, a, b, o)
		}()
		t.Cleanup(func() { await(t, ended) }) // or sockets of this test are counted in the next one
		return
	}
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	e.NewSet(nil).Join(ctx, a, b, o, func(r join.Result) { result <- r })
	t.Cleanup(e.Close)
}

// start joins the near ends, or wrappers of them.
func (r *rig) start(a, b conn.Conn) *rig {
	joinTo(r.t, r.ctx, a, b, r.result)
	// What a test that failed has left behind.
	r.t.Cleanup(func() {
		r.cancel(nil)
		_, _ = r.far[join.A].Reset(), r.far[join.B].Reset()
		_, _ = r.near[join.A].Reset(), r.near[join.B].Reset()
	})
	return r
}

func startRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	return r.start(r.near[join.A], r.near[join.B])
}

// wait waits for the end of the join, which has to leave nothing open.
func (r *rig) wait() join.Result {
	r.t.Helper()
	select {
	case result := <-r.result:
		for side, conn := range r.near {
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				r.t.Errorf("connection %s is open after Join: reading gives %v", name(join.Side(side)), err)
			}
			if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				r.t.Errorf("connection %s is open after Join: writing gives %v", name(join.Side(side)), err)
			}
		}
		return result
	case <-time.After(patience):
		r.t.Fatal("Join does not return")
		panic("unreachable")
	}
}

func name(side join.Side) string { return [...]string{"A", "B"}[side] }

func other(side join.Side) join.Side { return 1 - side }

// forEachSide runs f with either connection of a join in the leading part: what
// holds for one direction holds for the other.
func forEachSide(t *testing.T, f func(t *testing.T, side join.Side)) {
	for _, side := range []join.Side{join.A, join.B} {
		t.Run(name(side), func(t *testing.T) { f(t, side) })
		t.Run(name(side)+copied, func(t *testing.T) { f(t, side) })
		t.Run(name(side)+limited, func(t *testing.T) { f(t, side) })
	}
}

// copied is in the names of tests whose joins are copied, although an event
// loop could serve them.
const copied = "-copied"

// limited is in the names of tests whose joins have a limiter, which nothing reaches.
// Such joins are always copied.
const limited = "-limited"

func highLimit() *rate.Limiter { return rate.NewLimiter(1<<40, 256<<10) }

// await returns the next value of a channel, for which it waits with patience.
func await[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	return v
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

// wantReset reads on and expects a reset: an end would pass for the end of the data.
func wantReset(t *testing.T, conn io.Reader) (before []byte) {
	t.Helper()
	before, err := io.ReadAll(conn)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %d bytes: got %v (nil is EOF), want a reset", len(before), err)
	}
	return before
}

// wantFailure expects a result whose first failure is a reset of side.
func wantFailure(t *testing.T, result join.Result, side join.Side) {
	t.Helper()
	if !errors.Is(result.Err, syscall.ECONNRESET) && !errors.Is(result.Err, syscall.EPIPE) && !errors.Is(result.Err, join.ErrReset) {
		t.Errorf("Result.Err = %v, want a reset", result.Err)
	}
	if result.First != side {
		t.Errorf("Result.First = %s, want %s", name(result.First), name(side))
	}
}

// copiedFrom returns how many bytes came from side, by the result.
func copiedFrom(result join.Result, side join.Side) int64 {
	if side == join.A {
		return result.AToB
	}
	return result.BToA
}
