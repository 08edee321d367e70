package netlab_test

import (
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

func TestBitsAndDelay(t *testing.T) {
	begin := time.Now()
	p := netlab.NewPath(netlab.Conditions{Bits: 8000, Delay: time.Second, Queue: 2000}) // 1000 bytes a second
	expect := func(after time.Duration, size int, want time.Duration) {
		t.Helper()
		got := p.Arrivals(begin.Add(after), size)
		if len(got) != 1 || got[0].Sub(begin) != want {
			t.Errorf("%d bytes at %v arrive at %v, not after %v", size, after, got, want)
		}
	}
	expect(0, 500, 1500*time.Millisecond)
	expect(0, 500, 2*time.Second)
	expect(500*time.Millisecond, 1000, 3*time.Second)
	expect(500*time.Millisecond, 1000, 4*time.Second)
	if got := p.Arrivals(begin.Add(900*time.Millisecond), 1); len(got) > 0 {
		t.Error("a packet went into a full queue")
	}
	expect(time.Second, 1000, 5*time.Second)
	expect(10*time.Second, 1000, 12*time.Second) // it was empty by then
}

// draws sends a packet each millisecond.
func draws(c netlab.Conditions, count int) (delays [][]time.Duration) {
	c.Seed = 1
	p := netlab.NewPath(c)
	now := time.Now()
	for range count {
		var each []time.Duration
		for _, at := range p.Arrivals(now, 100) {
			each = append(each, at.Sub(now))
		}
		delays = append(delays, each)
		now = now.Add(time.Millisecond)
	}
	return delays
}

func TestPartsOfPackets(t *testing.T) {
	const count, delay = 20_000, 50 * time.Millisecond
	for name, test := range map[string]struct {
		conditions netlab.Conditions
		is         func(arrivals []time.Duration) bool
	}{
		"lost":       {netlab.Conditions{Delay: delay, Loss: 0.1}, func(a []time.Duration) bool { return len(a) == 0 }},
		"twice":      {netlab.Conditions{Delay: delay, Duplicate: 0.1}, func(a []time.Duration) bool { return len(a) == 2 }},
		"overtaking": {netlab.Conditions{Delay: delay, Reorder: 0.1}, func(a []time.Duration) bool { return len(a) == 1 && a[0] == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			found := 0
			for _, arrivals := range draws(test.conditions, count) {
				if test.is(arrivals) {
					found++
				} else if len(arrivals) != 1 || arrivals[0] != delay {
					t.Fatalf("a packet arrived after %v, not after %v", arrivals, delay)
				}
			}
			// Ten times what chance does to so many.
			if found < count/10-count/50 || found > count/10+count/50 {
				t.Errorf("%d of %d packets, want one in 10", found, count)
			}
		})
	}
}

func TestJitterKeepsTheOrder(t *testing.T) {
	const delay, jitter = 200 * time.Millisecond, 100 * time.Millisecond
	var last, shortest, longest time.Duration
	shortest = delay
	for i, arrivals := range draws(netlab.Conditions{Delay: delay, Jitter: jitter}, 20_000) {
		if len(arrivals) != 1 {
			t.Fatalf("packet %d arrives %d times", i, len(arrivals))
		}
		at := time.Duration(i)*time.Millisecond + arrivals[0]
		if at < last {
			t.Fatalf("packet %d arrives %v before the one that it followed", i, last-at)
		}
		last, shortest, longest = at, min(shortest, arrivals[0]), max(longest, arrivals[0])
	}
	if shortest < delay-jitter || shortest > delay-jitter*9/10 || longest > delay+jitter || longest < delay+jitter*9/10 {
		t.Errorf("delays from %v to %v, want %v more or less by up to %v", shortest, longest, delay, jitter)
	}
}

func TestSeedRepeats(t *testing.T) {
	c := netlab.Conditions{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.2, Reorder: 0.2, Duplicate: 0.2}
	one, two := draws(c, 1000), draws(c, 1000)
	for i := range one {
		if len(one[i]) != len(two[i]) || len(one[i]) > 0 && one[i][0] != two[i][0] {
			t.Fatalf("packet %d arrives after %v, and the second time after %v", i, one[i], two[i])
		}
	}
}

// TestLossEvery has each tenth packet lost, from a drawn one on.
func TestLossEvery(t *testing.T) {
	const every = 10
	var lost []int
	for i, arrivals := range draws(netlab.Conditions{LossEvery: every}, 5*every) {
		if len(arrivals) == 0 {
			lost = append(lost, i)
		}
	}
	if len(lost) != 5 || lost[0] >= every {
		t.Fatalf("of %d packets these are lost: %v", 5*every, lost)
	}
	for i := range lost[1:] {
		if lost[i+1] != lost[i]+every {
			t.Errorf("lost are %v, not each tenth", lost)
		}
	}
}
