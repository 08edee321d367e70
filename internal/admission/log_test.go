package admission_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed96252745/relay/internal/admission"
)

func TestSourceLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		var counters admission.Counters
		l := admission.NewSourceLog(slog.New(slog.NewTextHandler(&text, nil)), 10, &counters)
		a := source(t, "192.0.2.1")
		logged := func(n int) string {
			text.Reset()
			for range n {
				l.Log(a, slog.LevelInfo, "it happened")
				l.Log(a, slog.LevelDebug, "and nobody wants to know")
			}
			return text.String()
		}
		if got := logged(100); strings.Count(got, "it happened") != 10 || strings.Contains(got, "leftOutBefore") {
			t.Errorf("100 lines at once are logged as %s", got)
		}
		if n := counters.Of(admission.LogLines); n != 90 {
			t.Errorf("%d lines are counted as left out, want 90", n)
		}
		pass(6 * time.Second)
		if got := logged(1); !strings.Contains(got, "leftOutBefore=90") {
			t.Errorf("after a while: %q", got)
		}
		pass(6 * time.Second)
		if got := logged(1); !strings.Contains(got, "it happened") || strings.Contains(got, "leftOutBefore") {
			t.Errorf("after another while: %q", got)
		}
	})
}
