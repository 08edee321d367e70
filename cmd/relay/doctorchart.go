package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/doctor"
)

// chart prints what the doctor finds, for people: a line for each check, aligned, with colors
// on a terminal alone.
type chart struct {
	screen.Screen
	name int // width of the longest name
	// left are checks that could not be made because of one that was shown. They share a
	// line.
	left []string
}

// look is how a status is shown.
type look struct {
	sign, word string
	style      screen.Style
}

func lookOf(s doctor.Status) look {
	switch s {
	case doctor.OK:
		return look{"✓", "ok", screen.Green}
	case doctor.Warning:
		return look{"!", "warning", screen.Yellow}
	case doctor.Problem:
		return look{"✗", "problem", screen.Red}
	}
	return look{"-", "skipped", screen.Faint}
}

const wordWidth = len("warning")

func newChart(out io.Writer, checks []doctor.Check) *chart {
	c := &chart{Screen: screen.On(out)}
	for _, check := range checks {
		c.name = max(c.name, len(check.Name))
	}
	return c
}

func (c *chart) title(text string) {
	fmt.Fprintf(c, "relay %s looks %s\n\n", version(), text)
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
	word := c.Paint(is.style, fmt.Sprintf("%s %-*s", is.sign, wordWidth, is.word))
	indent := 2 + wordWidth + 2 + c.name + 2
	fmt.Fprintf(c, "%s  %-*s  %s\n", word, c.name, r.Check, c.wrap(r.Found, indent))
	if r.Advice != "" {
		fmt.Fprintf(c, "%s> %s\n", strings.Repeat(" ", indent), c.wrap(r.Advice, indent+2))
	}
}

// wrap breaks a text between words, for a terminal; further lines are indented.
func (c *chart) wrap(text string, indent int) string {
	const narrow = 30 // below that the terminal does better
	if c.Width-indent < narrow {
		return text
	}
	return strings.Join(screen.Wrap(text, c.Width-indent), "\n"+strings.Repeat(" ", indent))
}

func (c *chart) summary(problems, warnings int) {
	c.flush()
	fmt.Fprintf(c, "\n%s, %s. Hosts and addresses are shown above; tokens and keys are not.\n",
		count(problems, "problem"), count(warnings, "warning"))
}
