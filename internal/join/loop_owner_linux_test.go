package join_test

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// The owner of a connection may close it while it is joined. That ends the join, and
// both peers see a reset: neither has ended. What was counted before arrives.
func TestLoopOwnerCloses(t *testing.T) {
	t.Parallel()
	bothSides(t, func(t *testing.T, side join.Side) func() {
		var checks []func()
		for _, end := range []func(*transport.Conn) error{(*transport.Conn).Close, (*transport.Conn).Reset} {
			for _, held := range []bool{false, true} {
				checks = append(checks, closeByOwner(t, side, end, held))
			}
		}
		return func() {
			for _, check := range checks {
				check()
			}
		}
	})
}

func closeByOwner(t *testing.T, side join.Side, end func(*transport.Conn) error, held bool) (check func()) {
	t.Helper()
	const sent = "hello"
	r := startRig(t)
	conntest.Write(t, r.far[side], []byte(sent))
	conntest.Read(t, r.far[other(side)], len(sent))
	if held {
		holdUp(t, r.far[other(side)])
	}
	if err := end(r.near[side]); err != nil {
		t.Errorf("closing the first time: %v", err)
	}
	if err := end(r.near[side]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing the second time: %v", err)
	}
	return func() {
		result := r.wait()
		if !errors.Is(result.Err, net.ErrClosed) || result.First != side {
			t.Errorf("got %+v, want that %s was closed", result, name(side))
		}
		if n := copiedFrom(result, side); n != int64(len(sent)) {
			t.Errorf("counted %d bytes", n)
		}
		for _, conn := range r.far {
			wantReset(t, conn)
		}
	}
}

// Bytes in flight when the owner closes may be cut off, but not those that were counted.
func TestLoopOwnerClosesBehindBytes(t *testing.T) {
	const n = 64 << 10
	for range 20 {
		bothSides(t, func(t *testing.T, side join.Side) func() {
			r := startRig(t)
			conntest.Write(t, r.far[side], pattern(n))
			first := conntest.Read(t, r.far[other(side)], 1)
			_ = r.near[side].Close()
			return func() {
				got := append(first, wantReset(t, r.far[other(side)])...)
				if counted := copiedFrom(r.wait(), side); int64(len(got)) != counted || !bytes.HasPrefix(pattern(n), got) {
					t.Errorf("got %d bytes, and %d were counted", len(got), counted)
				}
			}
		})
	}
}

// Both connections are closed by their owners at once, from several goroutines.
func TestLoopOwnersCloseAtOnce(t *testing.T) {
	for range 100 {
		r := startRig(t)
		errs := make(chan error, 4)
		for _, conn := range r.near {
			go func() { errs <- conn.Close() }()
			go func() { errs <- conn.Reset() }()
		}
		ended := 0
		for range 4 {
			if err := <-errs; err == nil {
				ended++
			} else if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
		if ended > 2 {
			t.Errorf("%d calls closed two connections", ended)
		}
		if result := r.wait(); !errors.Is(result.Err, net.ErrClosed) {
			t.Errorf("got %+v", result)
		}
	}
}

// A connection that was closed before cannot be joined: the result says so, the other one
// is reset, and no descriptor is left.
func TestLoopJoinOfClosedConnection(t *testing.T) {
	before := sockets(t)
	for range 20 {
		bothSides(t, func(t *testing.T, side join.Side) func() {
			r := newRig(t)
			if err := r.near[side].Reset(); err != nil {
				t.Fatal(err)
			}
			r.start(r.near[join.A], r.near[join.B])
			return func() {
				result := r.wait()
				if !errors.Is(result.Err, net.ErrClosed) || result.First != side || result.AToB+result.BToA != 0 {
					t.Errorf("got %+v, want that %s is closed", result, name(side))
				}
				wantReset(t, r.far[other(side)])
				_, _ = r.far[join.A].Reset(), r.far[join.B].Reset()
			}
		})
	}
	if after := sockets(t); after != before {
		t.Errorf("%d sockets are open, and %d were before", after, before)
	}
}
