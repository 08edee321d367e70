// Package lossy writes lines for whom nobody may wait: to a log or an output whose
// reader may have stalled, as a pipe's does when a log collector hangs.
package lossy

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// MaxQueued bounds the bytes that wait to be written. It is some 3000 lines about
// users, which a reader who lives takes within a second, and as much as Docker lets
// wait in its mode "non-blocking".
const MaxQueued = 1 << 20

// maxPiece is how much is written at a time, if there is more: POSIX has a pipe take
// that in one piece, between what other processes write there.
const maxPiece = 4096

// maxKept is the largest buffer that is kept while nothing is queued: what one burst
// needed is given back.
const maxKept = 64 << 10

// Writer is an io.Writer that never waits. Each call of Write has a line, or several,
// which are written to the writer below in order, by one goroutine. Those that find the
// queue full, or that cannot be written, are dropped and counted. Its methods may be
// called concurrently.
type Writer struct {
	out   io.Writer
	ended chan struct{}

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	queued  []byte
	dropped int // lines that come behind those, and found no place
	report  func(out io.Writer, lines int) error
	closed  bool
}

// NewWriter returns a Writer to out, which has to be closed.
func NewWriter(out io.Writer) *Writer {
	w := &Writer{out: out, ended: make(chan struct{})}
	w.changed.L = &w.mu
	go w.run()
	return w
}

// ReportDropped has report called with the number of lines that were dropped, in the
// place where they are missing. It may write to out, and is called again, with more of
// them, if it returns an error.
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
		w.dropped += count(lines)
	default:
		w.queued = append(w.queued, lines...)
	}
	w.changed.Signal()
	return len(lines), nil
}

// Close writes what is queued, if that takes no longer than patience. Lines that come
// after it are dropped. A reader who has stalled for longer than that leaves the
// goroutine behind, since a write cannot be called off; it ends when the reader goes on
// or away.
func (w *Writer) Close(patience time.Duration) {
	w.mu.Lock()
	w.closed = true
	w.changed.Signal()
	w.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.ended:
	case <-timer.C:
	}
}

// run writes what is queued, until w is closed and all is written.
func (w *Writer) run() {
	defer close(w.ended)
	var lines []byte
	missing := 0 // lines that were dropped, and not reported
	for {
		batch, ok := w.take(lines)
		if !ok {
			return
		}
		missing += w.write(batch.lines) + batch.dropped
		if missing > 0 && batch.report != nil && batch.report(w.out, missing) == nil {
			missing = 0
		}
		if lines = batch.lines; cap(lines) > maxKept {
			lines = nil
		}
	}
}

// batch is what was queued at a time, and how many lines were dropped behind it.
type batch struct {
	lines   []byte
	dropped int
	report  func(out io.Writer, lines int) error
}

// take waits for lines, and leaves an empty queue with the buffer that it is given. It
// returns false when there are none, and will be none.
func (w *Writer) take(empty []byte) (b batch, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queued) == 0 && w.dropped == 0 && !w.closed {
		w.changed.Wait()
	}
	b = batch{w.queued, w.dropped, w.report}
	w.queued, w.dropped = empty[:0], 0
	return b, len(b.lines) > 0 || b.dropped > 0
}

// write writes lines piece by piece, and returns how many of them could not be written.
func (w *Writer) write(lines []byte) (failed int) {
	for len(lines) > 0 {
		piece := lines[:end(lines)]
		lines = lines[len(piece):]
		if _, err := w.out.Write(piece); err != nil {
			failed += count(piece)
		}
	}
	return failed
}

// end returns where the first piece of lines ends: behind as many whole lines as fit
// into one, or else behind the first.
func end(lines []byte) int {
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

// count returns how many lines there are; one without an end is one, too.
func count(lines []byte) int {
	n := bytes.Count(lines, []byte("\n"))
	if !bytes.HasSuffix(lines, []byte("\n")) {
		n++
	}
	return n
}
