package node_test

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// memory is what is in use at a moment.
type memory struct{ heap, stacks, goroutines int }

// take measures what is reachable, and the stacks of goroutines.
func take() memory {
	for range 5 { // pools are emptied by the second, and stacks given back by and by
		runtime.GC()
	}
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(samples)
	return memory{
		int(samples[0].Value.Uint64()), int(samples[1].Value.Uint64()), int(samples[2].Value.Uint64()),
	}
}

// measurement is what was spent on each peer.
type measurement struct {
	heap, stacks float64 // bytes
	goroutines   float64
	sent         int // bytes, by each peer
}

func (m memory) since(before memory, sent int) measurement {
	each := func(now, then int) float64 { return float64(now-then) / peers }
	return measurement{
		each(m.heap, before.heap), each(m.stacks, before.stacks), each(m.goroutines, before.goroutines), sent,
	}
}

// check fails if more was spent than most bytes for each byte that was sent.
func (m measurement) check(t *testing.T, most float64) {
	t.Helper()
	spent := max(m.heap, 0) + max(m.stacks, 0)
	factor := spent / float64(m.sent)
	t.Logf("%d bytes sent; %.0f of heap, %.0f of stacks, %.1f goroutines: %.1f times", m.sent, m.heap, m.stacks, m.goroutines, factor)
	if spent > noise && factor > most {
		t.Errorf("the relay spends %.0f bytes on %d: %.0f times, want at most %.0f", spent, m.sent, factor, most)
	}
}
