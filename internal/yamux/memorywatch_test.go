package yamux_test

import (
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
)

// memoryWatch finds the most memory and goroutines in use at any time, beyond those at
// the start.
type memoryWatch struct {
	quit     chan struct{}
	watching sync.WaitGroup

	mu                          sync.Mutex // guards what follows
	stacks                      string     // when there were too many goroutines
	firstGoroutines, goroutines int
	firstHeld, held             int64
}

// watchMemory samples all the time.
func watchMemory() *memoryWatch {
	runtime.GC() // the second one frees the pools
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
	goroutines -= 1 // the sampler itself
	stacks := ""
	if goroutines > w.firstGoroutines+maxGoroutines {
		// The runtime counts without stopping anything. It may be wrong by some dozens
		// that it is moving from one list of idle goroutines to another.
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

// inUse returns the goroutines of the process, and the bytes of its stacks and of the
// heap that is not garbage.
func inUse() (goroutines int, held int64) {
	runtime.GC()
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return runtime.NumGoroutine(), int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
}
