//go:build lab && linux

package lab_test

import (
	"encoding/json"
	"os"
	"path"
	"testing"
)

// record has a row of docs/reliability.md say, for the protocol that the test
// is named after, what was measured: in words, with figures in the units that
// one speaks of. It is written when the test ends, with its result, to the file
// that LAB_REPORT names; internal/lab/table makes the table from that.
func record(t *testing.T, row, fault, injected, measured string) {
	t.Helper()
	t.Logf("row %s, %s: %s", row, fault, measured)
	name := os.Getenv("LAB_REPORT")
	if name == "" {
		return
	}
	t.Cleanup(func() {
		line, err := json.Marshal(map[string]any{
			"row": row, "fault": fault, "injected": injected, "measured": measured,
			"protocol": path.Base(t.Name()), "test": t.Name(), "passed": !t.Failed(),
		})
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.Write(append(line, '\n')); err != nil {
			t.Error(err)
		}
	})
}
