package join_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/transport"
)

// startCopiedChecking is startChecking for a join that is copied.
func startCopiedChecking(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	startCopies(t, r)
	return r
}

func startCopies(t *testing.T, r *rig) {
	t.Helper()
	startCopy(t, r, join.Options{}, noProgress)
}

// startCopy copies between the near ends of r. Standstill bounds how long bytes may wait
// for a peer when both directions have ended.
func startCopy(t *testing.T, r *rig, o join.Options, standstill time.Duration) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.result <- join.CopyJoinChecking(r.ctx, r.near[join.A], r.near[join.B], o, shortInterval, shortSilence, standstill)
	}()
	t.Cleanup(func() {
		r.cancel(context.Canceled)
		<-ended
	})
}

func TestCopiedPeerVanishes(t *testing.T) {
	for name, before := range vanishing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothSides(t, func(t *testing.T, side join.Side) func() {
				r := startCopiedChecking(t)
				before(t, r, side)
				return func() { wantDead(t, r, side) }
			})
		})
	}
}

// Below TLS there is a socket like any other.
func TestPeerBehindTLSVanishes(t *testing.T) {
	t.Parallel()
	secure, peer := tlsPair(t)
	plain, far := conntest.Pair(t)
	_ = far.SetDeadline(time.Now().Add(patience))
	result := make(chan join.Result, 1)
	go func() {
		result <- join.CopyJoinChecking(t.Context(), secure, plain, join.Options{}, shortInterval, shortSilence, noProgress)
	}()
	conntest.Write(t, far, "hello")
	conntest.Read(t, peer, len("hello"))
	vanish(t, peer.below)
	conntest.Write(t, far, "hello?")
	select {
	case r := <-result:
		if !errors.Is(r.Err, join.ErrDead) || r.First != join.A {
			t.Errorf("the join ended with %v, first by %v", r.Err, r.First)
		}
	case <-time.After(patience):
		t.Fatal("the dead peer is not noticed")
	}
	wantReset(t, far)
}

// A peer that does not read is waited for, also when both directions have ended: the
// kernel would not deliver what is left.
func TestCopiedPeerWhoDoesNotReadStays(t *testing.T) {
	t.Parallel()
	bothSides(t, func(t *testing.T, side join.Side) func() {
		r := startCopiedChecking(t)
		sent := holdUp(t, r.far[other(side)])
		for _, far := range r.far {
			if err := far.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		since := time.Now()
		return func() {
			select {
			case result := <-r.result:
				t.Fatalf("the join ended: %+v", result)
			case <-time.After(30*shortSilence - time.Since(since)):
			}
			if n, err := io.Copy(io.Discard, r.far[side]); n != sent || err != nil {
				t.Errorf("%d bytes came, %v; want %d", n, err, sent)
			}
			if result := r.wait(); result.Err != nil {
				t.Errorf("the join ended with %v", result.Err)
			}
		}
	})
}

func TestKernelIsPatientWithCopies(t *testing.T) {
	r := newRig(t)
	var socket int // a second descriptor: the join closes its own
	_ = r.near[join.B].Control(func(fd uintptr) { socket, _ = unix.Dup(int(fd)) })
	t.Cleanup(func() { _ = unix.Close(socket) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		join.CopyJoinChecking(r.ctx, r.near[join.A], r.near[join.B], join.Options{}, shortInterval, shortSilence, noProgress)
	}()
	t.Cleanup(func() { r.cancel(context.Canceled); <-ended })
	wantPatience(t, r.far, socket)
}

// wantPatience expects the long user timeout on socket, which leads to B, while B has data
// to acknowledge, and not otherwise.
func wantPatience(t *testing.T, far [2]*transport.Conn, socket int) {
	t.Helper()
	timeout := func() int {
		ms, err := unix.GetsockoptInt(socket, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	if ms := timeout(); ms != 0 {
		t.Errorf("at rest the kernel gives up after %d ms", ms)
	}
	n := holdUp(t, far[join.A])
	for limit := time.Now().Add(patience); timeout() < int(24*time.Hour/time.Millisecond); pass(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("with unacknowledged data the kernel gives up after %d ms", timeout())
		}
	}
	conntest.Read(t, far[join.B], int(n))
	for limit := time.Now().Add(patience); timeout() != 0; pass(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("with all acknowledged the kernel gives up after %d ms", timeout())
		}
	}
}

// The checks also cover what the owner of a connection has written before the join: the
// relay writes PROXY headers so.
func TestPeerVanishesBeforeTheJoin(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *rig){
		"event loop": func(_ *testing.T, r *rig) { r.startChecking(shortInterval) },
		"copier":     startCopies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothSides(t, func(t *testing.T, side join.Side) func() {
				r := newRig(t)
				vanish(t, r.far[side])
				conntest.Write(t, r.near[side], "who the user is")
				start(t, r)
				return func() { wantDead(t, r, side) }
			})
		})
	}
}

// A join whose limiter has bytes wait is checked.
func TestLimitedPeerVanishes(t *testing.T) {
	t.Parallel()
	const burst = 16 << 10 // also what goes in a second
	r := newRig(t)
	startCopy(t, r, join.Options{Limiter: rate.NewLimiter(burst, burst)}, noProgress)
	conntest.Write(t, r.far[join.B], pattern(6*burst)) // which takes five seconds
	conntest.Read(t, r.far[join.A], 2*burst)
	vanish(t, r.far[join.A])
	wantDead(t, r, join.A)
}

// A peer that has ended and does not read is not waited for without end.
func TestCopiedPeerNeverReads(t *testing.T) {
	t.Parallel()
	bothSides(t, func(t *testing.T, side join.Side) func() {
		r := newRig(t)
		fillAndEnd(t, r, side, 5*shortSilence)
		return func() {
			if result := r.wait(); !errors.Is(result.Err, join.ErrNoProgress) {
				t.Errorf("the join ended with %v, want %v", result.Err, join.ErrNoProgress)
			}
			wantReset(t, r.far[side])
		}
	})
}

// A join can be stopped while it only waits for the last bytes, and its result says so.
func TestCopiedPeerWhoDoesNotReadIsStopped(t *testing.T) {
	for range 10 {
		r := newRig(t)
		fillAndEnd(t, r, join.A, noProgress)
		if n := len(r.result); n != 0 {
			t.Fatal("the join has ended")
		}
		r.cancel(errors.New("enough"))
		if result := r.wait(); result.Ending() != join.Stopped {
			t.Fatalf("the join ended as %s (%v), want %s", result.Ending(), result.Err, join.Stopped)
		}
	}
}

// fillAndEnd starts a join that has written all that there is: the kernel has bytes
// for side, which does not read, and both peers have ended.
func fillAndEnd(t *testing.T, r *rig, side join.Side, standstill time.Duration) {
	t.Helper()
	queueIn(t, r, side, queueable, func() { startCopy(t, r, join.Options{}, standstill) })
	for _, far := range r.far {
		if err := far.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
}
