package admission

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// lineSources bounds the sources whose lines are counted. Whoever is forgotten
// starts anew, so a flood from more sources than that fills the log with as many
// lines as it forgets.
const lineSources = 4096

// Lines bounds the lines in a log that one source can cause. Make it with
// NewLines. It may be used concurrently.
type Lines struct {
	perMinute int

	mu sync.Mutex // guards what follows
	of *lru.Cache[Source, *told]
}

type told struct {
	lines   *rate.Limiter
	leftOut int
}

// NewLines allows so many a minute for each.
func NewLines(perMinute int) *Lines {
	return &Lines{perMinute: perMinute, of: newLRU[Source, *told](lineSources)}
}

// Allow tells whether another line may be written, and how many about this source
// were left out since the last one.
func (l *Lines) Allow(about Source) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, known := l.of.Get(about)
	if !known {
		t = &told{lines: rate.NewLimiter(rate.Limit(l.perMinute)/60, l.perMinute)}
		l.of.Add(about, t)
	}
	if !t.lines.Allow() {
		t.leftOut++
		return 0, false
	}
	leftOut, t.leftOut = t.leftOut, 0
	return leftOut, true
}
