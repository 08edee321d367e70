package sshd

import (
	"cmp"
	"errors"
	"slices"
	"sync"
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

// Budget bounds the bytes that the relay holds for users who do not read, however they are
// reached. Its methods may be called concurrently.
type Budget interface {
	// Charge counts n bytes more.
	Charge(n int)
	// Used returns how many there are, and Limit how many there may be.
	Used() int64
	Limit() int64
}

// watch charges a budget with the channels of a front. The library does not say how many bytes
// it holds, so a channel counts with its whole window while its reader is away. Make it with
// newWatch. Its methods may be called concurrently.
type watch struct {
	begun time.Time

	mu       sync.Mutex // guards what follows
	budget   Budget
	channels map[*channel]struct{}
	charged  int         // bytes
	timer    *time.Timer // nil while there are no channels
}

func newWatch() *watch { return &watch{begun: time.Now(), channels: make(map[*channel]struct{})} }

// now returns the time since the watch was made, and never 0.
func (w *watch) now() int64 { return int64(time.Since(w.begun)) + 1 }

func (w *watch) add(c *channel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.channels[c] = struct{}{}
	if w.timer == nil {
		w.timer = time.AfterFunc(awayAfter, w.check)
	}
}

func (w *watch) remove(c *channel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.channels, c)
	if len(w.channels) == 0 && w.timer != nil {
		w.chargeLocked(0)
		w.timer.Stop()
		w.timer = nil
	}
}

// chargeLocked has so many channels be charged.
func (w *watch) chargeLocked(channels int) {
	bytes := channels * windowBytes
	w.budget.Charge(bytes - w.charged)
	w.charged = bytes
}

// check charges what is held, and resets users if that is too much: those who have not read for
// longest.
func (w *watch) check() {
	for _, c := range w.excess() {
		c.fail(errShed)
	}
}

// absent is a channel whose reader is away.
type absent struct {
	channel *channel
	since   int64
}

// excess returns the channels that have to go.
func (w *watch) excess() (all []*channel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return nil // the last one has just gone
	}
	w.timer.Reset(awayAfter)
	var away []absent
	latest := w.now() - int64(awayAfter)
	for c := range w.channels {
		if at := c.away.Load(); at != 0 && at <= latest {
			away = append(away, absent{c, at})
		}
	}
	w.chargeLocked(len(away))
	over := w.budget.Used() - w.budget.Limit()
	if over <= 0 {
		return nil
	}
	slices.SortFunc(away, func(a, b absent) int { return cmp.Compare(a.since, b.since) })
	for _, a := range away[:min(int((over+windowBytes-1)/windowBytes), len(away))] {
		all = append(all, a.channel)
	}
	return all
}
