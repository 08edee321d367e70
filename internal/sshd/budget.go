package sshd

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/observe"
)

const (
	// windowBytes is what golang.org/x/crypto/ssh may hold of one channel that nobody reads:
	// its window, which cannot be set.
	windowBytes = 2 << 20
	// awayAfter is how long a reader has to have been away for its channel to count. Others
	// hold what has come meanwhile.
	awayAfter = time.Second
)

// errShed is why a user is reset who does not read while others do not read either.
var errShed = observe.WithReason(errors.New("users who do not read hold too much of the relay's memory, and this one has for longest"), observe.LimitMet)

// budget bounds the bytes that channels hold for users who do not read. The library does not
// say how many those are, so a channel counts with its whole window when its reader is away.
// Make it with newBudget. Its methods may be called concurrently.
type budget struct {
	limit int64
	begun time.Time
	shed  atomic.Int64

	mu       sync.Mutex // guards what follows
	channels map[*channel]struct{}
	timer    *time.Timer // nil while there are no channels
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, begun: time.Now(), channels: make(map[*channel]struct{})}
}

// now returns the time since the budget was made, and never 0.
func (b *budget) now() int64 { return int64(time.Since(b.begun)) + 1 }

func (b *budget) add(c *channel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.channels[c] = struct{}{}
	if b.timer == nil {
		b.timer = time.AfterFunc(awayAfter, b.check)
	}
}

func (b *budget) remove(c *channel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.channels, c)
	if len(b.channels) == 0 && b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

// away returns the channels that count, the one that has for longest first.
func (b *budget) away() (all []*channel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit := b.now() - int64(awayAfter)
	since := make(map[*channel]int64)
	for c := range b.channels {
		if at := c.away.Load(); at != 0 && at <= limit {
			all = append(all, c)
			since[c] = at
		}
	}
	slices.SortFunc(all, func(a, b *channel) int { return int(min(max(since[a]-since[b], -1), 1)) })
	if b.timer != nil {
		b.timer.Reset(awayAfter)
	}
	return all
}

// check resets users if too much is held.
func (b *budget) check() {
	away := b.away()
	most := max(int(b.limit/windowBytes), 1)
	for _, c := range away[:max(0, len(away)-most)] {
		b.shed.Add(1)
		c.fail(errShed)
	}
}

// used returns what counts at the moment.
func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit, n := b.now()-int64(awayAfter), int64(0)
	for c := range b.channels {
		if at := c.away.Load(); at != 0 && at <= limit {
			n += windowBytes
		}
	}
	return n
}
