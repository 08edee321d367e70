package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/auth"
)

// maxQuoted bounds what is shown of a text that a stranger has sent.
const maxQuoted = 60

// quote returns a text that a stranger has sent, safe for a terminal.
func quote(text string) string {
	if len(text) > maxQuoted {
		return fmt.Sprintf("%+q...", text[:maxQuoted])
	}
	return fmt.Sprintf("%+q", text)
}

// Plain returns a text in which a stranger may have a part, in one line of printable ASCII,
// and without what looks like a token. It is for refusals and errors, which have sentences:
// more of them is shown.
func Plain(text string) string {
	const most = 400
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, auth.Conceal(text))
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// Millis returns a duration as people compare them.
func Millis(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1e3)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// rateOf returns bytes a second.
func rateOf(bytes int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(bytes) / d.Seconds()
}

// megabytes returns a rate for people.
func megabytes(rate float64) string {
	if rate < 1e6 {
		return fmt.Sprintf("%.0f kB/s", rate/1e3)
	}
	return fmt.Sprintf("%.1f MB/s", rate/1e6)
}

// Amount returns bytes for people.
func Amount(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.0f KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// Some returns the first of many words, and how many more there are.
func Some(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}

// Counted returns a number with its noun.
func Counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
