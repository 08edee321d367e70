package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/seed96252745/relay/internal/doctor"
)

// chart prints what the doctor finds, for people: a line for each check, aligned, with colors
// on a terminal alone.
type chart struct {
	out    io.Writer
	colors bool
	name   int // width of the longest name
	width  int // of the terminal, or 0
	// left are checks that could not be made because of one that was shown. They share a
	// line.
	left []string
}

// look is how a status is shown.
type look struct{ sign, word, color string }

func lookOf(s doctor.Status) look {
	switch s {
	case doctor.OK:
		return look{"✓", "ok", "\x1b[32m"}
	case doctor.Warning:
		return look{"!", "warning", "\x1b[33m"}
	case doctor.Problem:
		return look{"✗", "problem", "\x1b[31m"}
	}
	return look{"-", "skipped", "\x1b[2m"}
}

const (
	endColor  = "\x1b[0m"
	wordWidth = len("warning")
)

func newChart(out io.Writer, checks []doctor.Check) *chart {
	c := &chart{out: out}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		c.colors = os.Getenv("NO_COLOR") == ""
		c.width = columns()
	}
	for _, check := range checks {
		c.name = max(c.name, len(check.Name))
	}
	return c
}

func (c *chart) title(text string) {
	fmt.Fprintf(c.out, "relay %s looks %s\n\n", version(), text)
}

// show prints one result, and below it what to do.
func (c *chart) show(r doctor.Result) {
	if r.Status == doctor.Skipped && strings.HasSuffix(r.Found, seeAbove) {
		c.left = append(c.left, r.Check)
		return
	}
	c.flush()
	c.line(r)
}

// seeAbove is how a result ends that only points to another one.
const seeAbove = ": see above"

// flush prints the line of checks that were left.
func (c *chart) flush() {
	if len(c.left) == 0 {
		return
	}
	c.line(doctor.Result{Check: "the rest", Finding: doctor.Finding{
		Status: doctor.Skipped, Found: "what needs that: " + strings.Join(c.left, ", "),
	}})
	c.left = nil
}

func (c *chart) line(r doctor.Result) {
	is := lookOf(r.Status)
	word := fmt.Sprintf("%s %-*s", is.sign, wordWidth, is.word)
	if c.colors {
		word = is.color + word + endColor
	}
	indent := 2 + wordWidth + 2 + c.name + 2
	fmt.Fprintf(c.out, "%s  %-*s  %s\n", word, c.name, r.Check, c.wrap(r.Found, indent))
	if r.Advice != "" {
		fmt.Fprintf(c.out, "%s> %s\n", strings.Repeat(" ", indent), c.wrap(r.Advice, indent+2))
	}
}

// wrap breaks a text between words, for a terminal; further lines are indented.
func (c *chart) wrap(text string, indent int) string {
	const narrow = 30 // below that the terminal does better
	if c.width-indent < narrow {
		return text
	}
	var b strings.Builder
	column := indent
	for i, word := range strings.Split(text, " ") {
		switch {
		case i == 0:
		case column+1+len(word) > c.width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func (c *chart) summary(problems, warnings int) {
	c.flush()
	fmt.Fprintf(c.out, "\n%s, %s. Hosts and addresses are shown above; tokens and keys are not.\n",
		count(problems, "problem"), count(warnings, "warning"))
}
