package lossy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed96252745/relay/internal/lossy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// output records what is written to it; it can be made to stall, and to fail.
type output struct {
	mu     sync.Mutex // guards what follows; held while it stalls
	pieces []string
	err    error
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	o.pieces = append(o.pieces, string(b))
	return len(b), nil
}

// lines returns what was written, line by line.
func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.SplitAfter(strings.TrimSuffix(strings.Join(o.pieces, ""), "\n"), "\n")
}

func line(n int) string { return fmt.Sprintf("line %05d%s\n", n, strings.Repeat(".", 89)) } // 100 bytes

func reportDropped(out io.Writer, lines int) error {
	_, err := fmt.Fprintf(out, "%d dropped\n", lines)
	return err
}

// All lines come out in order, in pieces that are whole lines.
func TestOrder(t *testing.T) {
	var out output
	w := lossy.NewWriter(&out)
	w.ReportDropped(reportDropped)
	const n = 2000
	for i := range n {
		if written, err := io.WriteString(w, line(i)); written != 100 || err != nil {
			t.Fatalf("Write returns %d, %v", written, err)
		}
	}
	long := strings.Repeat("x", 3*4096) + "\n"
	_, _ = io.WriteString(w, long)
	_, _ = io.WriteString(w, "no end")
	w.Close(patience)
	_, _ = io.WriteString(w, "too late\n")
	got := out.lines()
	if len(got) != n+2 || got[n] != long || got[n+1] != "no end" {
		t.Fatalf("got %d lines", len(got))
	}
	for i := range n {
		if strings.TrimSpace(got[i]) != strings.TrimSpace(line(i)) {
			t.Fatalf("line %d is %q", i, got[i])
		}
	}
	for _, piece := range out.pieces {
		if piece != "no end" && (!strings.HasSuffix(piece, "\n") || len(piece) > 4096 && strings.Count(piece, "\n") > 1) {
			t.Errorf("a piece of %d bytes ends with %q", len(piece), piece[max(0, len(piece)-10):])
		}
	}
}

// While the reader stalls no Write waits, no more is held than the limit, and the gap
// is reported where it is.
func TestStalled(t *testing.T) {
	var out output
	w := lossy.NewWriter(&out)
	w.ReportDropped(reportDropped)
	out.mu.Lock()
	const n = 30_000 // 3 MB
	for i := range n {
		_, _ = io.WriteString(w, line(i))
	}
	out.mu.Unlock()
	for {
		// This finds the queue full, until the writer has taken it.
		_, _ = io.WriteString(w, "later\n")
		if lines := out.lines(); strings.Contains(lines[len(lines)-1], "later") {
			break
		}
	}
	w.Close(patience)
	got := out.lines()
	held, told := 0, 0
	for i, l := range got {
		if strings.HasPrefix(l, "line ") {
			if l != line(i) {
				t.Fatalf("line %d is %q", i, l)
			}
			held++
			continue
		}
		var dropped int
		if k, _ := fmt.Sscanf(l, "%d dropped", &dropped); k == 1 {
			told += dropped
		}
	}
	if held*100 < lossy.MaxQueued/2 || held*100 > 2*lossy.MaxQueued+4096 {
		t.Errorf("%d bytes were held", held*100)
	}
	if missing := n - held; told < missing || w.Dropped() < int64(missing) {
		t.Errorf("%d lines are missing, %d were reported, and %d counted", missing, told, w.Dropped())
	}
	if !strings.HasSuffix(got[held], "dropped\n") {
		t.Errorf("behind the gap comes %q", got[held])
	}
}

// Lines that cannot be written are reported when writes work again.
func TestFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := output{err: errors.New("the disk is full")}
		w := lossy.NewWriter(&out)
		w.ReportDropped(reportDropped)
		for range 3 {
			_, _ = io.WriteString(w, "lost\n")
			synctest.Wait()
		}
		out.mu.Lock()
		out.err = nil
		out.mu.Unlock()
		_, _ = io.WriteString(w, "not lost\n")
		w.Close(patience)
		if got := strings.Join(out.pieces, ""); got != "not lost\n3 dropped\n" || w.Dropped() != 3 {
			t.Errorf("got %q, and %d are dropped", got, w.Dropped())
		}
	})
}

// stalled blocks every Write until it is closed.
type stalled chan struct{}

func (s stalled) Write(b []byte) (int, error) {
	<-s
	return len(b), nil
}

// Close waits for a stalled reader, but not beyond its timeout.
func TestCloseStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := make(stalled)
		w := lossy.NewWriter(out)
		_, _ = io.WriteString(w, "a line\n")
		began := time.Now()
		w.Close(time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		close(out)
	})
}

// A report of dropped lines is optional; a line that is too long is dropped too.
func TestNoReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		w := lossy.NewWriter(&buf)
		_, _ = w.Write(bytes.Repeat([]byte("x"), lossy.MaxQueued+1))
		synctest.Wait()
		_, _ = io.WriteString(w, "a line\n")
		w.Close(patience)
		if got := buf.String(); got != "a line\n" {
			t.Errorf("got %q", got)
		}
	})
}
