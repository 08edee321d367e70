//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// aim is what a figure of the relays should be.
type aim struct {
	what     string
	scenario string
	key      string // of a column
	// against is the name of the bar that the figure is divided by. The figure itself
	// is the aim's if it is empty.
	against   string
	encrypted bool // the aim is of relays that encrypt
	better    better
	// The aims are of protocols in this order.
	pool, event, multiplex float64
}

const (
	haproxyBar = "the better HAProxy"
	ratholeBar = "rathole"
	stunnelBar = "stunnel"
)

var aims = []aim{
	{"new connections/s, 64 at a time", "connect-64", "rate", haproxyBar, false, more, 0.9, 0.85, 1.1},
	{"new connections/s, 64 at a time", "connect-64", "rate", ratholeBar, false, more, 1, 0.95, 1.2},
	{"round trips/s, 64 connections", "echo-64", "rate", haproxyBar, false, more, 1.15, 1.15, 1.3},
	{"round trips/s, 64 connections", "echo-64", "rate", ratholeBar, false, more, 1.05, 1.05, 1.2},
	{"p50 of one round trip", "echo-1", "p50", haproxyBar, false, less, 0.75, 0.75, 0.95},
	{"one upload, Gbit/s", "upload-1", "rate", haproxyBar, false, more, 1.7, 1.7, 1.45},
	{"one download, Gbit/s", "download-1", "rate", haproxyBar, false, more, 1.7, 1.7, 1.45},
	{"upload, CPU per GB", "upload-1", "cpu", haproxyBar, false, less, 0.35, 0.35, 0.55},
	{"idle connection, KiB in the relay", idleName, "near", "", false, less, 3.2, 3.2, 2.8},
	{"1,000 stalled users: p99 of a new one, of without", "stalled-1000", "ratio", "", false, less, 2, 2, 2},
	{"1,000 stalled users: TCP memory, of direct", "stalled-1000", "memratio", "", false, less, 0.3, 0.3, 0.3},
	{"8 uploads over TLS, Gbit/s", "upload-8", "rate", stunnelBar, true, more, 1.3, 1.3, 1.1},
	{"up, 150 ms, 100 Mbit/s, 0.1 % loss, of direct", "longhaul-150-0.1-up", "ratio", "", false, more, 0.95, 0.95, 0.9},
	{"down, 150 ms, 100 Mbit/s, 0.1 % loss, of direct", "longhaul-150-0.1-down", "ratio", "", false, more, 0.95, 0.95, 0.9},
}

// aimProtocols are the columns of the table of aims.
var aimProtocols = []string{"pool", "event", "multiplex"}

func (a aim) wanted() []float64 { return []float64{a.pool, a.event, a.multiplex} }

// met reports whether the figure is as good as the aim, to the digits that are printed.
func (a aim) met(figure, wanted float64) bool {
	figure, _ = strconv.ParseFloat(digits(figure), 64)
	if a.better == less {
		return figure <= wanted
	}
	return figure >= wanted
}

func digits(figure float64) string { return strconv.FormatFloat(figure, 'f', 2, 64) }

// needs reports whether the aim needs the contender in its scenario.
func (a aim) needs(c contender) bool {
	i := slices.IndexFunc(bars, func(b bar) bool { return b.name == a.against })
	switch {
	case c.protocol != "":
		return c.encrypted == a.encrypted
	case i >= 0:
		return slices.Contains(bars[i].contenders, c.name)
	}
	return c.name == "direct"
}

// onlyAims returns those of the scenarios that the aims are of, each with those of the
// contenders that they need.
func onlyAims(all []scenario) (wanted []scenario) {
	for _, s := range all {
		var of []aim
		for _, a := range aims {
			if a.scenario == s.name {
				of = append(of, a)
			}
		}
		if len(of) == 0 {
			continue
		}
		s.usual = func(c contender) bool {
			return slices.ContainsFunc(of, func(a aim) bool { return a.needs(c) })
		}
		wanted = append(wanted, s)
	}
	return wanted
}

// measured returns the figure of an aim for a protocol, if there is one.
func (r *report) measured(a aim, protocol string) (float64, bool) {
	name := "relay-" + protocol
	if a.encrypted {
		name += "-tls"
	}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		at := slices.IndexFunc(s.Rows, func(row row) bool { return row.Contender == name })
		if s.Name != a.scenario || at < 0 {
			continue
		}
		if a.against == "" {
			figure, ok := s.Rows[at].Median[a.key]
			return figure, ok
		}
		for _, c := range s.compare() {
			ratio := slices.IndexFunc(c.rows, func(row row) bool { return row.Contender == name })
			if c.against == a.against && ratio >= 0 {
				figure, ok := c.rows[ratio].Median[a.key]
				return figure, ok
			}
		}
	}
	return 0, false
}

// aimsTable has a line for each aim with a figure: what it is of, what it is divided by,
// and for each protocol the figure and the aim. missed makes a figure out of one that is
// worse than the aim.
func (r *report) aimsTable(missed func(string) string) (lines [][]string) {
	for _, a := range aims {
		line := []string{a.what, a.against}
		found := false
		for i, wanted := range a.wanted() {
			cell := "–"
			if figure, ok := r.measured(a, aimProtocols[i]); ok {
				found = true
				if cell = digits(figure); !a.met(figure, wanted) {
					cell = missed(cell)
				}
			}
			line = append(line, fmt.Sprintf("%s (%g)", cell, wanted))
		}
		if found {
			lines = append(lines, line)
		}
	}
	return lines
}

// printAims writes the aims and what was measured, with a star at what misses its aim.
func (r *report) printAims(w io.Writer) {
	lines := r.aimsTable(func(figure string) string { return "*" + figure })
	if len(lines) == 0 {
		return
	}
	fmt.Fprint(w, "\naims, in brackets beside what was measured; * misses its aim\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "  \tagainst\tpool\tevent\tmultiplex\n")
	for _, line := range lines {
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", line[0], line[1], line[2], line[3], line[4])
	}
	_ = table.Flush()
}

// markdownAims writes the same as Markdown, with bold figures for those that miss.
func (r *report) markdownAims(w io.Writer) {
	fmt.Fprint(w, "| | against | pool (aim) | event (aim) | multiplex (aim) |\n|---|---|---:|---:|---:|\n")
	for _, line := range r.aimsTable(func(figure string) string { return "**" + figure + "**" }) {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", line[0], line[1], line[2], line[3], line[4])
	}
}
