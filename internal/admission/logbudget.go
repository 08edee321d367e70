package admission

import (
	"net/netip"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// logSources bounds the sources whose lines are counted. A source that is forgotten
// starts anew, so a flood from more sources than that fills the log with as many lines as
// sources are forgotten.
const logSources = 4096

// LogBudget bounds the lines of a log about one source. Make it with NewLogBudget. It may
// be used concurrently.
type LogBudget struct {
	perMinute int

	mu sync.Mutex // guards what follows
	of *lru.Cache[netip.Prefix, *sourceBudget]
}

type sourceBudget struct {
	lines   *rate.Limiter
	leftOut int
}

// NewLogBudget returns a budget of so many lines a minute for each source.
func NewLogBudget(perMinute int) *LogBudget {
	return &LogBudget{perMinute: perMinute, of: newLRU[netip.Prefix, *sourceBudget](logSources)}
}

// Allow reports whether another line about a source (see [Source.Prefix]) may be written,
// and returns how many were left out since the last one.
func (l *LogBudget) Allow(source netip.Prefix) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.of.Get(source)
	if !known {
		b = &sourceBudget{lines: rate.NewLimiter(rate.Limit(l.perMinute)/60, l.perMinute)}
		l.of.Add(source, b)
	}
	if !b.lines.Allow() {
		b.leftOut++
		return 0, false
	}
	leftOut, b.leftOut = b.leftOut, 0
	return leftOut, true
}
