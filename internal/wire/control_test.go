package wire_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/wire"
)

// The lines of docs/protocol.md, "Control".
func TestServingLine(t *testing.T) {
	for line, want := range map[string]wire.ProbeFailure{
		"up\n":             "",
		"down unhealthy\n": wire.ProbeUnhealthy,
		"down refused\n":   wire.ProbeRefused,
		"down other\n":     wire.ProbeOther,
	} {
		if got := wire.ServingLine(want); got != line {
			t.Errorf("%q is written as %q", want, got)
		}
		if got, known := wire.ParseServing(strings.TrimSuffix(line, "\n")); !known || got != want {
			t.Errorf("%q: got %q, %v", line, got, known)
		}
	}
	if got, known := wire.ParseServing("down on-fire"); !known || got != wire.ProbeOther {
		t.Errorf("a word of a newer relay client is %q, %v", got, known)
	}
	for _, line := range []string{"", "down", "down ", "down Refused", "down a b", "up 1", "UP", "move", " up"} {
		if got, known := wire.ParseServing(line); known {
			t.Errorf("%q: got %q", line, got)
		}
	}
	for line, is := range map[string]func(string) bool{"move": wire.IsMove, "leave": wire.IsLeave, "left": wire.IsLeft} {
		for _, other := range []string{"move", "leave", "left", "up", "", line + " 1"} {
			if is(other) != (other == line) {
				t.Errorf("%q is taken for %s: %v", other, line, is(other))
			}
		}
	}
}

func TestControlReader(t *testing.T) {
	longest := strings.Repeat("x", 64)
	for in, want := range map[string]struct {
		lines []string
		err   error
	}{
		"up\ndown refused\r\n\nmo":        {[]string{"up", "down refused", ""}, nil},
		longest + "\n" + longest + "\r\n": {[]string{longest, longest}, nil},
		"up\n" + longest + "x":            {[]string{"up"}, wire.ErrTooLong},
		"up\n\x16\x03\x01":                {[]string{"up"}, wire.ErrBadByte},
		"up\rdown":                        {nil, wire.ErrBadByte},
	} {
		for _, size := range []int{1, 3, 1000} {
			lines, err := feed(in, size)
			if !slices.Equal(lines, want.lines) || !errors.Is(err, want.err) {
				t.Errorf("%q in pieces of %d: got %q, %v", in, size, lines, err)
			}
		}
	}
}

// feed gives a reader pieces of so many bytes.
func feed(in string, size int) (lines []string, err error) {
	var r wire.ControlReader
	for piece := range slices.Chunk([]byte(in), size) {
		if err = r.Feed(piece, func(line string) { lines = append(lines, line) }); err != nil {
			break
		}
	}
	return lines, err
}

// FuzzControlReader cuts any bytes in two ways: the lines are the same, short and printable.
func FuzzControlReader(f *testing.F) {
	for _, s := range []string{"up\n", "down refused\r\nmove\n", "\r\r\n", strings.Repeat("x", 65), "\x00\n"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, in string, size int) {
		lines, err := feed(in, max(size, 1))
		whole, wholeErr := feed(in, max(len(in), 1))
		if !slices.Equal(lines, whole) || !errors.Is(err, wholeErr) {
			t.Errorf("%q: got %q, %v in pieces, and %q, %v at once", in, lines, err, whole, wholeErr)
		}
		for _, line := range lines {
			if len(line) > 64 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("%q has the line %q", in, line)
			}
		}
	})
}

// FuzzParseServing reads any line: only known words are left of it.
func FuzzParseServing(f *testing.F) {
	for _, s := range []string{"up", "down", "down refused", "down x-y", "down \x1b[2J", "move"} {
		f.Add(s)
	}
	plain := regexp.MustCompile(`^[a-z ]+$`)
	f.Fuzz(func(t *testing.T, line string) {
		failure, known := wire.ParseServing(line)
		if failure != "" && (!known || !plain.MatchString(failure.String())) {
			t.Errorf("%q is read as %q, %v", line, failure, known)
		}
		if again, _ := wire.ParseServing(strings.TrimSuffix(wire.ServingLine(failure), "\n")); known && again != failure {
			t.Errorf("%q came back as %q", failure, again)
		}
	})
}

// The values of the option.
func TestControlOption(t *testing.T) {
	for value, want := range map[string]wire.Control{"v1": wire.ControlUp, "v1-down": wire.ControlDown} {
		p, err := wire.ParsePreamble([]wire.Option{{Key: "proxy", Value: "v2"}, {Key: "control", Value: value}})
		if err != nil || p.Control != want {
			t.Errorf("%s: got %v, %v", value, p.Control, err)
		}
		if options := p.Options(); !slices.Contains(options, wire.Option{Key: "control", Value: value}) {
			t.Errorf("%s is written as %v", value, options)
		}
	}
	for _, options := range [][]wire.Option{
		{{Key: "control", Value: "v1"}},
		{{Key: "proxy", Value: "v2"}, {Key: "control", Value: "v2"}},
		{{Key: "proxy", Value: "v2"}, {Key: "control"}},
	} {
		var refused *wire.OptionError
		if _, err := wire.ParsePreamble(options); !errors.As(err, &refused) || refused.Key != "control" {
			t.Errorf("%v: got %v", options, err)
		}
	}
}
