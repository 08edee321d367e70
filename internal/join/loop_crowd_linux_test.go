package join_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/join"
)

// A join at rest costs two descriptors and no goroutine.
func TestLoopJoinsAtRest(t *testing.T) {
	const n = 1000
	c := newCrowd(t, n, 0)
	goroutines, open := runtime.NumGoroutine(), sockets(t)
	c.joinAll()
	for i := range c.far { // a word each way, so that all of it has been in use
		renew(t, c.far[i])
		conntest.Write(t, c.far[i][join.A], "ping")
		conntest.Read(t, c.far[i][join.B], len("ping"))
		conntest.Write(t, c.far[i][join.B], "pong")
		conntest.Read(t, c.far[i][join.A], len("pong"))
	}
	if more := runtime.NumGoroutine() - goroutines; more > 10 {
		t.Errorf("%d joins at rest have %d goroutines", n, more)
	}
	// The far ends are in this process too, and have two for each join.
	if now := sockets(t); now != open || now < 4*n {
		t.Errorf("%d sockets are open with %d joins, and %d were before", now, n, open)
	}
	c.stop()
	for i := range c.far {
		if r := c.wait(i); !errors.Is(r.Err, context.Canceled) || r.AToB != 4 || r.BToA != 4 {
			t.Fatalf("got %+v", r)
		}
	}
	if now := sockets(t); now != open-2*n {
		t.Errorf("%d sockets are open after the joins, want %d", now, open-2*n)
	}
}

// Receivers that never read cost little memory: their bytes stay with the kernel, which
// stops the senders.
func TestLoopMemoryOfHeldUpJoins(t *testing.T) {
	const (
		n    = 1000
		most = 32 << 20
	)
	c := newCrowd(t, n, 4<<10)
	heap := heapInUse()
	c.joinAll()
	chunk := pattern(64 << 10)
	var writing sync.WaitGroup
	var taken atomic.Int64
	for i := range c.far {
		sender := c.far[i][i%2]
		writing.Go(func() {
			_ = sender.SetWriteDeadline(time.Now().Add(400 * time.Millisecond)) // from when it has a processor
			n, err := sender.Write(chunk)
			taken.Add(int64(n))
			if err != nil && !isTimeout(err) {
				t.Error(err)
			}
		})
	}
	writing.Wait()
	if more := heapInUse() - heap; more > most {
		t.Errorf("%d joins that are held up hold %d KiB, want %d at most", n, more>>10, most>>10)
	}
	if taken.Load() < n*4<<10 {
		t.Errorf("only %d bytes were taken: this shows nothing", taken.Load())
	}
	for _, results := range c.results {
		select {
		case r := <-results:
			t.Fatalf("a join has ended: %+v", r)
		default:
		}
	}
}

func heapInUse() int64 {
	for range 3 { // what pools hold goes with the second
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// Close waits for the joins, which end with their contexts.
func TestLoopEngineClose(t *testing.T) {
	const n = 20
	c := newCrowd(t, n, 0)
	var done atomic.Int32
	var contexts []context.CancelFunc
	for i := range n {
		ctx, cancel := context.WithCancel(t.Context())
		contexts = append(contexts, cancel)
		c.set.Join(ctx, c.near[i][join.A], c.near[i][join.B], join.Options{}, func(join.Result) { done.Add(1) })
	}
	closed := make(chan int32, 1)
	go func() {
		c.engine.Close()
		closed <- done.Load()
	}()
	for i, cancel := range contexts {
		select {
		case <-closed:
			t.Fatalf("Close returned with %d joins running", n-i)
		default:
		}
		cancel()
	}
	if got := await(t, closed); got != n {
		t.Errorf("Close returned after %d joins had ended, want %d", got, n)
	}
	for i := range n {
		for _, conn := range c.far[i] {
			wantReset(t, conn)
		}
	}
}

// Many joins are made at once, from several goroutines, while others end.
func TestLoopJoinConcurrently(t *testing.T) {
	const n, joiners = 200, 8
	c := newCrowd(t, n, 0)
	var joining sync.WaitGroup
	for j := range joiners {
		joining.Go(func() {
			for i := j; i < n; i += joiners {
				c.join(i)
				word := []byte(strings.Repeat("word ", i+1))
				for side, conn := range c.far[i] {
					if _, err := conn.Write(word); err != nil {
						t.Error(err)
					}
					if side == i%2 || i%4 == 3 {
						_ = conn.CloseWrite()
					}
				}
				if i%4 == 2 {
					_ = c.far[i][join.A].Reset()
				}
			}
		})
	}
	joining.Wait()
	for i := range n {
		switch i % 4 {
		case 3: // both have ended
			if r := c.wait(i); r.Err != nil || r.AToB != int64(5*(i+1)) || r.BToA != r.AToB {
				t.Errorf("join %d: got %+v", i, r)
			}
		case 2:
			// A had ended its direction before it was reset, and either may be seen.
			if r := c.wait(i); r.Err == nil || r.First != join.A {
				t.Errorf("join %d: got %+v", i, r)
			}
		default:
			word := strings.Repeat("word ", i+1)
			for _, conn := range c.far[i] {
				conntest.WantRead(t, conn, word)
			}
		}
	}
}
