package join_test

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// noProgress is what docs/protocol.md, "What is carried", promises.
const noProgress = 10 * time.Minute

// memoryRig is a join in simulated time.
type memoryRig struct {
	far    [2]*conntest.MemoryConn
	result chan join.Result
}

func startMemoryRig() *memoryRig {
	r := &memoryRig{result: make(chan join.Result, 1)}
	var near [2]*conntest.MemoryConn
	for side := range near {
		near[side], r.far[side] = conntest.Memory()
	}
	go func() { r.result <- join.CopyJoin(context.Background(), near[join.A], near[join.B], join.Options{}) }()
	return r
}

// close closes everything, so that no goroutine is left in the bubble.
func (r *memoryRig) close() {
	for _, conn := range r.far {
		_ = conn.Reset()
	}
}

func pass(d time.Duration) { <-time.After(d) }

// inBubble runs f for each side in simulated time. The client has ended its
// direction; the server has not.
func inBubble(t *testing.T, f func(t *testing.T, r *memoryRig, client, server *conntest.MemoryConn, side join.Side)) {
	forEachSide(t, func(t *testing.T, side join.Side) {
		synctest.Test(t, func(t *testing.T) {
			r := startMemoryRig()
			defer r.close()
			client, server := r.far[side], r.far[other(side)]
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatalf("the client's end arrived as %v", err)
			}
			f(t, r, client, server, side)
		})
	})
}

// wantOpen expects that the join goes on.
func (r *memoryRig) wantOpen(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case result := <-r.result:
		t.Fatalf("the join has ended: %+v", result)
	default:
	}
}

func TestNoProgress(t *testing.T) {
	inBubble(t, func(t *testing.T, r *memoryRig, client, server *conntest.MemoryConn, side join.Side) {
		since := time.Now()
		result := <-r.result
		if took := time.Since(since); took != noProgress {
			t.Errorf("ended after %v, want %v", took, noProgress)
		}
		if !errors.Is(result.Err, join.ErrNoProgress) || result.First != side {
			t.Errorf("got %+v, want %v and First %s", result, join.ErrNoProgress, name(side))
		}
		// Neither peer has sent that end.
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client sees %v, want a reset", err)
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server sees %v, want a reset", err)
		}
	})
}

// Every byte counts as progress, however slowly they come.
func TestProgressExtends(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 59 * time.Second, 61 * time.Second, 8 * time.Minute, 9*time.Minute - time.Second} {
		t.Run("a byte every "+every.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *memoryRig, client, server *conntest.MemoryConn, side join.Side) {
				for sent := time.Duration(0); sent < time.Hour; sent += every {
					pass(every)
					conntest.Write(t, server, "x")
					conntest.Read(t, client, 1)
				}
				r.wantOpen(t)
				// The deadline is put off only now and then.
				last := time.Now()
				result := <-r.result
				if took := time.Since(last); took > noProgress || took < noProgress*9/10 {
					t.Errorf("ended %v after the last byte, want %v, or a tenth less", took, noProgress)
				}
				if !errors.Is(result.Err, join.ErrNoProgress) {
					t.Errorf("got %+v", result)
				}
				if got := copiedFrom(result, other(side)); got < int64(time.Hour/every) {
					t.Errorf("counted %d bytes", got)
				}
			})
		})
	}
}

// The receiver is slow, and one write of the join takes longer than noProgress.
func TestSlowReceiverIsProgress(t *testing.T) {
	inBubble(t, func(t *testing.T, r *memoryRig, client, server *conntest.MemoryConn, _ join.Side) {
		sent := pattern(20_000)
		wrote := make(chan error, 1)
		go func() {
			_, err := server.Write(sent)
			if err == nil {
				err = server.CloseWrite()
			}
			wrote <- err
		}()
		for i := range 30 {
			pass(6 * time.Minute)
			if got := conntest.Read(t, client, 1); got[0] != sent[i] {
				t.Fatalf("byte %d is %#x, want %#x", i, got[0], sent[i])
			}
		}
		r.wantOpen(t)
		rest, err := io.ReadAll(client)
		if err != nil || string(rest) != string(sent[30:]) {
			t.Errorf("the rest arrived as %d bytes, %v; want %d and the end", len(rest), err, len(sent)-30)
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		if result := <-r.result; result.Err != nil {
			t.Errorf("got %+v", result)
		}
	})
}

// A receiver that takes nothing at all counts as gone.
func TestStalledReceiverIsNoProgress(t *testing.T) {
	inBubble(t, func(t *testing.T, r *memoryRig, client, server *conntest.MemoryConn, side join.Side) {
		conntest.Write(t, server, "nobody reads this")
		since := time.Now()
		result := <-r.result
		if took := time.Since(since); took > noProgress {
			t.Errorf("ended after %v, want %v", took, noProgress)
		}
		if !errors.Is(result.Err, join.ErrNoProgress) {
			t.Errorf("got %+v", result)
		}
		if got := copiedFrom(result, other(side)); got != 0 {
			t.Errorf("counted %d bytes that were not read", got)
		}
	})
}

// While both directions are open, silence has no limit: a shell may be left open over a
// weekend.
func TestNoLimitWhileBothDirectionsAreOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startMemoryRig()
		defer r.close()
		pass(72 * time.Hour)
		r.wantOpen(t)
		for _, side := range []join.Side{join.A, join.B} {
			conntest.Write(t, r.far[side], "still here")
			conntest.Read(t, r.far[other(side)], len("still here"))
		}
		_ = r.far[join.A].Reset()
		if result := <-r.result; !errors.Is(result.Err, syscall.ECONNRESET) || result.First != join.A {
			t.Errorf("got %+v, want a reset of A", result)
		}
	})
}
