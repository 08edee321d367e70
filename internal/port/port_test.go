package port_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/port"
)

func TestParseSet(t *testing.T) {
	for _, tt := range []struct{ text, want, err string }{
		{text: "80", want: "80"},
		{text: "1-65535", want: "1-65535"},
		{text: "7-7", want: "7"},
		{text: "20000-20010,20050", want: "20000-20010,20050"},
		{text: "5,1-2,3", want: "1-3,5"},
		{text: "10-20,12-13,15-30,15", want: "10-30"},
		{text: "", err: `"" is not a port: ports are numbers from 1 to 65535`},
		{text: "1,", err: `"" is not a port: ports are numbers from 1 to 65535`},
		{text: "0-5", err: `"0" is not a port: ports are numbers from 1 to 65535`},
		{text: "5-65536", err: `"65536" is not a port: ports are numbers from 1 to 65535`},
		{text: "-5", err: `"" is not a port: ports are numbers from 1 to 65535`},
		{text: "1-2-3", err: `"2-3" is not a port: ports are numbers from 1 to 65535`},
		{text: "1, 2", err: `" 2" is not a port: ports are numbers from 1 to 65535`},
		{text: "1,20-10", err: "20-10 ends before it begins"},
	} {
		set, err := port.ParseSet(tt.text)
		if said := message(err); said != tt.err || set.String() != tt.want {
			t.Errorf("%q: got %q, %q; want %q, %q", tt.text, set, said, tt.want, tt.err)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestNoSetHasNoPorts(t *testing.T) {
	var set port.Set
	if set.Contains(0) || set.Contains(80) || set.String() != "" {
		t.Errorf("a set without ports has some: %q", set)
	}
}

// A set has the ports of all its parts, and is the same in whatever order they are.
func FuzzParseSet(f *testing.F) {
	for _, seed := range []string{"80", "20000-20010,20050", "5,1-2,3", "1-65535", "10-20,12-13,15-30,15", "2-1", ",", "65536", "1-2-3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := port.ParseSet(text)
		parts := strings.Split(text, ",")
		var ranges []port.Range
		for _, part := range parts {
			r, wrong := port.ParseRange(part)
			if wrong != nil && err == nil {
				t.Fatalf("%q was read, and %q is wrong: %v", text, part, wrong)
			}
			ranges = append(ranges, r)
		}
		if err != nil {
			return
		}
		for _, r := range ranges {
			for _, p := range []int{r.First - 1, r.First, r.Last, r.Last + 1} {
				want := slices.ContainsFunc(ranges, func(r port.Range) bool { return r.First <= p && p <= r.Last })
				if set.Contains(p) != want {
					t.Fatalf("%q has %d: %v, want %v", text, p, set.Contains(p), want)
				}
			}
		}
		slices.Reverse(parts)
		reversed, err := port.ParseSet(strings.Join(parts, ","))
		again, wrong := port.ParseSet(set.String())
		if err != nil || wrong != nil || !slices.Equal(reversed, set) || !slices.Equal(again, set) {
			t.Fatalf("%q was read as %v, backwards as %v, and from what was written as %v", text, set, reversed, again)
		}
	})
}
