package screen

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Style is how a text looks: the parameters of SGR, ECMA-48 8.3.117. The zero value is
// plain.
type Style string

// The styles.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Faint  Style = "2"
	Invert Style = "7"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Screen is where a command writes for people.
type Screen struct {
	io.Writer
	// Width is how many columns there are, or 0 for any number, and Height how many lines.
	Width, Height int
	// Color reports whether colors are shown.
	Color bool
}

// On returns the screen that is behind w. Only a terminal has a size, and colors unless
// NO_COLOR is set (no-color.org).
func On(w io.Writer) Screen {
	s := Screen{Writer: w}
	file, ok := w.(*os.File)
	if !ok {
		return s
	}
	width, height, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return s
	}
	s.Width, s.Height = width, height
	s.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// Terminal reports whether the screen is a terminal.
func (s Screen) Terminal() bool { return s.Width > 0 }

// Paint returns text in a style, if the screen shows any.
func (s Screen) Paint(style Style, text string) string {
	if !s.Color || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}
