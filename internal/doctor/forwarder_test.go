package doctor_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/node"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// want checks one result: what it found and advises has all of the parts.
func (r results) want(t *testing.T, check string, s doctor.Status, parts ...string) {
	t.Helper()
	got := r[check]
	if got.Status != s {
		t.Errorf("%s: got %s, want %s", check, got.Status, s)
	}
	for _, part := range parts {
		if !strings.Contains(got.Found+" > "+got.Advice, part) {
			t.Errorf("%s: %q is missing in\n%s > %s", check, part, got.Found, got.Advice)
		}
	}
}

// nothing checks that these checks were skipped because of another one.
func (r results) skipped(t *testing.T, checks ...string) {
	t.Helper()
	for _, check := range checks {
		r.want(t, check, doctor.Skipped, "see above")
	}
}

func TestAllIsWell(t *testing.T) {
	addr, _ := startRelay(t, node.Config{}, 8) // it keeps the pools for a minute
	for _, first := range []string{"multiplex", "pool", "event"} {
		others := slices.DeleteFunc([]string{"multiplex", "pool", "event"}, func(p string) bool { return p == first })
		r := look(t, addr, looks{protocols: append([]string{first}, others...)})
		for _, check := range []string{"name", "connect", "relay", "encryption", "token", "port", "public port", "large packets", first, "multiplex", "pool", "event", "protocol"} {
			r.want(t, check, doctor.OK)
		}
		r.want(t, first, doctor.OK, "1 MiB each way and not a bit changed; half-close and reset kept")
		r.want(t, "public port", doctor.OK, "comes from 127.0.0.1")
		m := r[first].Measured
		if m == nil || m.FirstByteSeconds <= 0 || m.RoundTripSeconds <= 0 || m.UpBytesPerSecond <= 0 || m.DownBytesPerSecond <= 0 {
			t.Errorf("%s: measured %+v", first, m)
		}
		r.want(t, "local server", doctor.Skipped, "--localForwardPort")
		r.want(t, "idle", doctor.Skipped, "--idle")
	}
}
