package screen_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"github.com/seed96252745/relay/cmd/relay/screen"
)

// Nothing that a stranger has written makes a terminal do anything.
func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"web":                                    "web",
		"Grüße, 世界":                              "Grüße, 世界",
		"a\x1b[2J\x1b]0;owned\a":                 `a\x1b[2J\x1b]0;owned\a`,
		"two\nlines\r":                           `two\nlines\r`,
		"\u202egnp.exe":                          `\u202egnp.exe`,
		"\u009b31m":                              `\u009b31m`,
		"\xff\xfe":                               `\xff\xfe`,
		"token relay_ABCDEFGHIJKLMNOPQRSTUVWXYZ": "token relay_***",
	} {
		if got := screen.Clean(text); got != want {
			t.Errorf("Clean(%q) is %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		got := screen.Clean(text)
		if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) || ansi.Strip(got) != got {
			t.Fatalf("Clean(%q) is %q", text, got)
		}
		if again := screen.Clean(got); again != got {
			t.Fatalf("Clean(%q) is %q, and then %q", text, got, again)
		}
	})
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9951: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		1_250_000_000: "1.2 GB", 1 << 62: "4.6 EB",
	} {
		if got := screen.Bytes(n); got != want {
			t.Errorf("Bytes(%d) is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := screen.Count(n); got != want {
			t.Errorf("Count(%d) is %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 80 * time.Microsecond: "80µs", 380*time.Millisecond + 123: "380ms", 59*time.Second + 999*time.Millisecond: "59s",
		3*time.Minute + 5*time.Second: "3m05s", 4*time.Hour + 12*time.Minute: "4h12m", 51 * time.Hour: "2d3h",
	} {
		if got := screen.Duration(d); got != want {
			t.Errorf("Duration(%v) is %q, want %q", d, got, want)
		}
	}
	for r, want := range map[float64]string{0: "-", 0.5: "-", 1500: "1.5 kB/s"} {
		if got := screen.Rate(r); got != want {
			t.Errorf("Rate(%v) is %q, want %q", r, got, want)
		}
	}
}

func table() *screen.Table {
	table := &screen.Table{Columns: []screen.Column{
		{Title: "PORT", Right: true}, {Title: "NAME", Min: 4}, {Title: "FOR", Right: true, Optional: 2}, {Title: "WHERE", Optional: 1},
	}}
	table.Add("20001", "a-long-name", "3s", "here")
	table.Add("7", "世界", "12m05s", "")
	return table
}

func TestTable(t *testing.T) {
	for width, want := range map[int]string{
		0: `
 PORT  NAME            FOR  WHERE
20001  a-long-name      3s  here
    7  世界         12m05s`,
		29: `
 PORT  NAME        FOR  WHERE
20001  a-long…      3s  here
    7  世界     12m05s`,
		11: `
 PORT  NAME
20001  a-l…
    7  世界`,
	} {
		got := "\n" + strings.Join(table().Lines(screen.Screen{Width: width}), "\n")
		if got != want {
			t.Errorf("with %d columns:%s\nwant%s", width, got, want)
		}
	}
}

// A table fits, as long as there is room for the columns that are never left out.
func TestTableFits(t *testing.T) {
	for width := len("20001  a-l…") - len("…") + 1; width < 40; width++ {
		for _, colored := range []bool{false, true} {
			for _, line := range table().Lines(screen.Screen{Width: width, Color: colored}) {
				if got := ansi.StringWidth(line); got > width {
					t.Errorf("%q has %d columns, and there are %d", line, got, width)
				}
				if !colored && strings.Contains(line, "\x1b") {
					t.Errorf("%q has colors", line)
				}
			}
		}
	}
}

func TestWrap(t *testing.T) {
	if got := fmt.Sprintf("%q", screen.Wrap("one two three", 8)); got != `["one two" "three"]` {
		t.Error(got)
	}
	if got := screen.Wrap("one two three", 0); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
