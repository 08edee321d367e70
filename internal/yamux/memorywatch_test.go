package yamux_test

import (
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
)

// memoryWatch finds the most that there is at any time, beyond what there was at
// first.
type memoryWatch struct {
	quit     chan struct{}
	watching sync.WaitGroup

	mu                          sync.Mutex // guards what follows
	stacks                      string     // when there were too many goroutines
	firstGoroutines, goroutines int
	firstHeld, held             int64
}

// watchMemory looks all the time.
func watchMemory() *memoryWatch {
	runtime.GC() // what was pooled is gone after the second
	w := &memoryWatch{quit: make(chan struct{})}
	w.firstGoroutines, w.firstHeld = inUse()
	w.goroutines, w.held = w.firstGoroutines, w.firstHeld
	w.watching.Go(func() {
		for {
			w.sample()
			select {
			case <-w.quit:
				return
			default:
			}
		}
	})
	return w
}

func (w *memoryWatch) sample() {
	goroutines, held := inUse()
	w.mu.Lock()
	defer w.mu.Unlock()
	goroutines -= 1 // the one that looks
	stacks := ""
	if goroutines > w.firstGoroutines+maxGoroutines {
		// The runtime counts without stopping anybody, and may be wrong by some
		// dozens that it just moves from one list of idle ones to another.
		all := make([]byte, 1<<20)
		stacks = string(all[:runtime.Stack(all, true)])
		goroutines = strings.Count("\n"+stacks, "\ngoroutine ") - 1
	}
	if goroutines > w.goroutines {
		w.goroutines, w.stacks = goroutines, stacks
	}
	w.held = max(w.held, held)
}

func (w *memoryWatch) stop() (goroutines int, held int64) {
	close(w.quit)
	w.watching.Wait()
	return w.goroutines - w.firstGoroutines, w.held - w.firstHeld
}

// inUse is what the process holds, in bytes of stacks and of what on the heap is not
// garbage.
func inUse() (goroutines int, held int64) {
	runtime.GC()
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return runtime.NumGoroutine(), int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
}
