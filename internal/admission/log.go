package admission

import (
	"context"
	"log/slog"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// logSources bounds the sources whose lines are counted. A source that is forgotten
// starts anew, so a flood from more sources than that fills the log with as many lines as
// sources are forgotten.
const logSources = 4096

// SourceLog logs what peers cause, so many lines a minute about each source. Make it with
// NewSourceLog. It may be used concurrently.
type SourceLog struct {
	log       *slog.Logger
	counters  *Counters
	perMinute int

	mu sync.Mutex // guards what follows
	of *lru.Cache[Source, *logBudget]
}

type logBudget struct {
	lines   *rate.Limiter
	leftOut int
}

// NewSourceLog returns a SourceLog that writes to log, and counts the lines that it
// leaves out.
func NewSourceLog(log *slog.Logger, perMinute int, counters *Counters) *SourceLog {
	return &SourceLog{log: log, counters: counters, perMinute: perMinute, of: newLRU[Source, *logBudget](logSources)}
}

// Log logs something that a source has caused, unless it has used up its budget. The line
// says how many were left out before it.
func (l *SourceLog) Log(source Source, level slog.Level, message string, args ...any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	leftOut, ok := l.allow(source)
	if !ok {
		l.counters.Add(LogLines)
		return
	}
	if leftOut > 0 {
		args = append(args, "leftOutBefore", leftOut)
	}
	l.log.Log(context.Background(), level, message, args...)
}

// allow reports whether another line may be written, and how many about this source were
// left out since the last one.
func (l *SourceLog) allow(source Source) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.of.Get(source)
	if !known {
		b = &logBudget{lines: rate.NewLimiter(rate.Limit(l.perMinute)/60, l.perMinute)}
		l.of.Add(source, b)
	}
	if !b.lines.Allow() {
		b.leftOut++
		return 0, false
	}
	leftOut, b.leftOut = b.leftOut, 0
	return leftOut, true
}
