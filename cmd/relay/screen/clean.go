package screen

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed96252745/relay/internal/auth"
)

// Clean returns text without what a terminal would act on: control characters, among them
// escape sequences, and marks that turn the direction of text, are written as in a Go
// string. Secrets are concealed.
func Clean(text string) string {
	text = auth.Conceal(text)
	if !strings.ContainsFunc(text, unsafe) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case !unsafe(r):
			b.WriteRune(r)
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			b.WriteString(`\x` + strconv.FormatInt(int64(text[i]), 16))
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// unsafe reports whether a terminal may do something else with r than show it.
func unsafe(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
