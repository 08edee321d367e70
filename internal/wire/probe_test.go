package wire_test

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/wire"
)

// The lines of docs/protocol.md, "Probes".
func TestProbeAnswer(t *testing.T) {
	for line, want := range map[string]wire.ProbeAnswer{
		"ok\n":                    {},
		"ok 1\n":                  {Took: time.Microsecond},
		"ok 1000000000\n":         {Took: 1000 * time.Second},
		"failed refused\n":        {Failure: wire.ProbeRefused},
		"failed timed-out\n":      {Failure: wire.ProbeTimedOut},
		"failed no-route\n":       {Failure: wire.ProbeNoRoute},
		"failed unknown-host\n":   {Failure: wire.ProbeUnknownHost},
		"failed no-descriptors\n": {Failure: wire.ProbeNoDescriptors},
		"failed not-accepted\n":   {Failure: wire.ProbeNotAccepted},
		"failed paused\n":         {Failure: wire.ProbePaused},
		"failed other\n":          {Failure: wire.ProbeOther},
	} {
		r := strings.NewReader(line + "more")
		if got, err := wire.ReadProbeAnswer(r); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", line, got, err, want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "more" {
			t.Errorf("%q: %q is left", line, rest)
		}
		var written strings.Builder
		if _, err := want.WriteTo(&written); err != nil || written.String() != line {
			t.Errorf("%+v is written as %q, %v", want, written.String(), err)
		}
	}
}

// What a newer relay client says is understood as far as it can be, and never shown.
func TestProbeAnswerOfAnotherVersion(t *testing.T) {
	got, err := wire.ReadProbeAnswer(strings.NewReader("failed on-fire\r\n"))
	if err != nil || got.Failure != wire.ProbeOther || strings.Contains(got.Failure.String(), "fire") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBadProbeAnswer(t *testing.T) {
	for _, line := range []string{
		"", "ok", "\n", "ok \n", "ok 0\n", "ok 01\n", "ok +1\n", "ok -1\n", "ok 1 2\n", "ok 1000000001\n", "ok 99999999999999999999\n",
		"OK\n", "okay\n", "failed\n", "failed \n", "failed Refused\n", "failed refused 1\n", "failed \x1b[2J\n",
		"failed " + strings.Repeat("x", 58) + "\n", "-no-port\n",
	} {
		if got, err := wire.ReadProbeAnswer(strings.NewReader(line)); err == nil {
			t.Errorf("%q: got %+v, want an error", line, got)
		}
	}
}

// FuzzReadProbeAnswer reads any bytes: at most a line, of which only known words are left.
func FuzzReadProbeAnswer(f *testing.F) {
	for _, s := range []string{"ok\n", "ok 12\r\n", "failed refused\n", "failed x-y\n", "failed \x1b[2J\n", "ok 1e3\n", strings.Repeat("o", 100)} {
		f.Add([]byte(s))
	}
	plain := regexp.MustCompile(`^[a-z ]+$`)
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		got, err := wire.ReadProbeAnswer(r)
		if taken := len(in) - r.Len(); taken > 64+2 {
			t.Errorf("%d bytes were read", taken)
		}
		if err != nil {
			return
		}
		if got.Took < 0 || got.Took > 1000*time.Second || got.Failure != "" && (got.Took != 0 || !plain.MatchString(got.Failure.String())) {
			t.Errorf("%q is read as %+v", in, got)
		}
		var again bytes.Buffer
		if _, err := got.WriteTo(&again); err != nil {
			t.Fatal(err)
		}
		if same, err := wire.ReadProbeAnswer(&again); err != nil || same != got {
			t.Errorf("%+v came back as %+v, %v", got, same, err)
		}
	})
}
