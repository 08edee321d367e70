package join_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

const (
	perSecond = 1_000_000
	burst     = perSecond / 10
	lots      = 3*perSecond + burst // which takes three seconds
)

// wantAbout expects a duration to within a tenth of a second.
func wantAbout(t *testing.T, took, want time.Duration) {
	t.Helper()
	if took < want-100*time.Millisecond || took > want+100*time.Millisecond {
		t.Errorf("it took %v, want %v", took, want)
	}
}

// startLimited joins two connections in memory, and returns their far ends and what
// becomes of the join.
func startLimited(ctx context.Context, limiter *rate.Limiter) (a, b conn.Conn, result <-chan join.Result) {
	nearA, farA := conntest.Memory()
	nearB, farB := conntest.Memory()
	results := make(chan join.Result, 1)
	go func() { results <- join.CopyJoin(ctx, nearA, nearB, join.Options{Limiter: limiter}) }()
	return farA, farB, results
}

func TestLimiter(t *testing.T) {
	for name, swap := range map[string]bool{"from A to B": false, "from B to A": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, to, result := startLimited(t.Context(), rate.NewLimiter(perSecond, burst))
				if swap {
					from, to = to, from
				}
				sent, since := pattern(lots), time.Now()
				go func() { _, _ = from.Write(sent); _ = from.CloseWrite() }()
				if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("got %d bytes, %v; want %d", len(got), err, len(sent))
				}
				wantAbout(t, time.Since(since), 3*time.Second)
				_ = to.CloseWrite()
				if r := <-result; r.Err != nil || r.AToB+r.BToA != lots {
					t.Errorf("got %+v", r)
				}
			})
		})
	}
}

// Joins that share a limiter, and their directions, share what it has.
func TestSharedLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter, since := rate.NewLimiter(perSecond, burst), time.Now()
		done := make(chan struct{})
		for range 2 {
			a, b, result := startLimited(t.Context(), limiter)
			for from, to := range map[conn.Conn]conn.Conn{a: b, b: a} {
				go func() { _, _ = from.Write(make([]byte, lots/4)); _ = from.CloseWrite() }()
				go func() { _, _ = io.Copy(io.Discard, to) }()
			}
			go func() { <-result; done <- struct{}{} }()
		}
		<-done
		<-done
		wantAbout(t, time.Since(since), 3*time.Second)
	})
}

// A join that waits for so much as a byte a second ends at once when it is stopped, or
// one of its connections is reset.
func TestLimitedJoinEnds(t *testing.T) {
	enough := errors.New("enough")
	for name, end := range map[string]func(a conn.Conn, cancel context.CancelCauseFunc){
		"stop":  func(_ conn.Conn, cancel context.CancelCauseFunc) { cancel(enough) },
		"reset": func(a conn.Conn, _ context.CancelCauseFunc) { _ = a.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				a, b, result := startLimited(ctx, rate.NewLimiter(1, burst))
				go func() { _, _ = b.Write(make([]byte, 1<<20)) }()
				go func() { _, _ = io.Copy(io.Discard, a) }()
				synctest.Wait() // a has as much as goes at once
				since := time.Now()
				end(a, cancel)
				if r := <-result; r.Err == nil || name == "stop" && !errors.Is(r.Err, enough) {
					t.Errorf("the join ended with %v", r.Err)
				}
				if took := time.Since(since); took != 0 {
					t.Errorf("it took %v", took)
				}
				_ = b.Reset()
			})
		})
	}
}

// A limiter that is given another rate has it hold for joins that have it already, of
// which each has read more than may go at once.
func TestLimiterChanges(t *testing.T) {
	const before, after, sent = 1_000_000, 20_000, 100_000
	synctest.Test(t, func(t *testing.T) {
		limiter := rate.NewLimiter(before, before/10)
		a, b, _ := startLimited(t.Context(), limiter)
		change := func(perSecond int) {
			limiter.SetLimit(rate.Limit(perSecond))
			limiter.SetBurst(perSecond / 10)
		}
		send := func() time.Duration {
			since := time.Now()
			go conntest.Write(t, a, pattern(sent))
			conntest.WantRead(t, b, pattern(sent))
			return time.Since(since)
		}
		change(after)
		wantAbout(t, send(), (sent-after/10)*time.Second/after)
		change(before)
		wantAbout(t, send(), sent*time.Second/before)
		_, _ = a.Reset(), b.Reset()
	})
}

// A prefix counts as moved, and so does what has moved so far.
func TestMoved(t *testing.T) {
	for name, o := range map[string]join.Options{"sockets": {Prefix: 7}, "copied": {Prefix: 7, Limiter: highLimit()}} {
		t.Run(name, func(t *testing.T) {
			e, err := join.NewEngine()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Close)
			r := newRig(t)
			h := e.NewSet(nil).Join(r.ctx, r.near[join.A], r.near[join.B], o, func(result join.Result) { r.result <- result })
			if aToB, bToA := h.Moved(); aToB != 7 || bToA != 0 {
				t.Errorf("at first %d and %d bytes have moved", aToB, bToA)
			}
			conntest.Write(t, r.far[join.A], "hello")
			conntest.WantRead(t, r.far[join.B], "hello")
			conntest.Write(t, r.far[join.B], "hi")
			conntest.WantRead(t, r.far[join.A], "hi")
			h.Stop(io.ErrShortBuffer)
			result := r.wait()
			if result.AToB != 12 || result.BToA != 2 || result.Ending() != join.Stopped || !errors.Is(result.Err, io.ErrShortBuffer) {
				t.Errorf("got %+v", result)
			}
			if aToB, bToA := h.Moved(); aToB != result.AToB || bToA != result.BToA {
				t.Errorf("in the end %d and %d bytes have moved", aToB, bToA)
			}
			wantReset(t, r.far[join.A])
			wantReset(t, r.far[join.B])
		})
	}
}

// A join that is stopped before it has begun is stopped like others.
func TestStopAtOnce(t *testing.T) {
	e, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for range 100 {
		r := newRig(t)
		e.NewSet(nil).Join(r.ctx, r.near[join.A], r.near[join.B], join.Options{}, func(result join.Result) { r.result <- result }).Stop(io.ErrShortBuffer)
		if result := r.wait(); !errors.Is(result.Err, io.ErrShortBuffer) {
			t.Fatalf("the join ended with %v", result.Err)
		}
	}
}
