// Package lossy writes lines without ever waiting, to a log or an output whose reader
// may have stalled, as the reader of a pipe does when a log collector hangs.
package lossy

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// MaxQueued bounds the bytes that wait to be written. That is some 3000 lines about
// users, which a live reader takes within a second, and as much as Docker queues in its
// mode "non-blocking".
const MaxQueued = 1 << 20

// maxPiece is the most that one write carries: POSIX makes writes of this size to a
// pipe atomic, so that lines of other processes do not split it.
const maxPiece = 4096

// maxKept is the largest buffer that is kept while nothing is queued: a burst does not
// keep its buffer.
const maxKept = 64 << 10

// Writer is an io.Writer that never waits. Each call of Write carries one or more
// lines. One goroutine writes them to the underlying writer, in order. Lines that find
// the queue full, or cannot be written, are dropped and counted. Its methods may be
// called concurrently.
type Writer struct {
	out  io.Writer
	done chan struct{}
	lost atomic.Int64 // lines, since the start

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	queued  []byte
	dropped int // lines after the queued ones that found the queue full
	report  func(out io.Writer, lines int) error
	closed  bool
}

// NewWriter returns a Writer to out. The caller must close it.
func NewWriter(out io.Writer) *Writer {
	w := &Writer{out: out, done: make(chan struct{})}
	w.changed.L = &w.mu
	go w.run()
	return w
}

// ReportDropped has report called with the number of dropped lines, in the place where
// they are missing. It may write to out. If it returns an error it is called again
// later, with a larger number.
func (w *Writer) ReportDropped(report func(out io.Writer, lines int) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report = report
}

// Write queues lines. It never fails.
func (w *Writer) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
	case w.dropped > 0, len(w.queued)+len(lines) > MaxQueued: // one gap, not many
		n := countLines(lines)
		w.dropped += n
		w.lost.Add(int64(n))
	default:
		w.queued = append(w.queued, lines...)
	}
	w.changed.Signal()
	return len(lines), nil
}

// Dropped returns how many lines were dropped since the start.
func (w *Writer) Dropped() int64 { return w.lost.Load() }

// Close writes what is queued, if that takes no longer than timeout. Later lines are
// dropped. If the reader has stalled for longer the goroutine stays behind, since a
// write cannot be canceled; it ends when the reader goes on or goes away.
func (w *Writer) Close(timeout time.Duration) {
	w.mu.Lock()
	w.closed = true
	w.changed.Signal()
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-time.After(timeout):
	}
}

// run writes what is queued, until w is closed and everything is written.
func (w *Writer) run() {
	defer close(w.done)
	var buffer []byte
	missing := 0 // lines that were dropped and not yet reported
	for {
		lines, dropped, report := w.takeBatch(buffer)
		if len(lines) == 0 && dropped == 0 {
			return
		}
		missing += w.writePieces(lines) + dropped
		if missing > 0 && report != nil && report(w.out, missing) == nil {
			missing = 0
		}
		if buffer = lines; cap(buffer) > maxKept {
			buffer = nil
		}
	}
}

// takeBatch waits for lines, and leaves an empty queue with the buffer empty. It returns
// what was queued, and how many lines were dropped after it: nothing once w is closed.
func (w *Writer) takeBatch(empty []byte) (lines []byte, dropped int, report func(out io.Writer, lines int) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queued) == 0 && w.dropped == 0 && !w.closed {
		w.changed.Wait()
	}
	lines, dropped = w.queued, w.dropped
	w.queued, w.dropped = empty[:0], 0
	return lines, dropped, w.report
}

// writePieces writes lines piece by piece, and returns how many lines could not be
// written.
func (w *Writer) writePieces(lines []byte) (failed int) {
	for len(lines) > 0 {
		piece := lines[:pieceEnd(lines)]
		lines = lines[len(piece):]
		if _, err := w.out.Write(piece); err != nil {
			n := countLines(piece)
			failed += n
			w.lost.Add(int64(n))
		}
	}
	return failed
}

// pieceEnd returns where the first piece of lines ends: after as many whole lines as
// fit into one, or else after the first.
func pieceEnd(lines []byte) int {
	if len(lines) <= maxPiece {
		return len(lines)
	}
	if last := bytes.LastIndexByte(lines[:maxPiece], '\n'); last >= 0 {
		return last + 1
	}
	if first := bytes.IndexByte(lines, '\n'); first >= 0 {
		return first + 1
	}
	return len(lines)
}

// countLines returns the number of lines; a last one without a newline counts.
func countLines(lines []byte) int {
	n := bytes.Count(lines, []byte("\n"))
	if !bytes.HasSuffix(lines, []byte("\n")) {
		n++
	}
	return n
}
