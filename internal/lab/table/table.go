package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// row is a line of the table: one fault, in all protocols and runs.
type row struct {
	first    result
	runs     map[string][]string // what was measured, by protocol
	passed   int
	recorded int
}

// protocols is their order; what else there is comes behind.
var protocols = []string{"multiplex", "pool", "event"}

func table(all []result) string {
	var b strings.Builder
	b.WriteString("| row | fault | how injected | protocols | measured | passed |\n")
	b.WriteString("|---|---|---|---|---|---|\n")
	for _, r := range rows(all) {
		names := r.protocols()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d/%d |\n", cell(r.first.Row), cell(r.first.Fault),
			cell(r.first.Injected), strings.Join(names, ", "), cell(r.measured(names)), r.passed, r.recorded)
	}
	return b.String()
}

// rows merges results by row and fault, and sorts them by number.
func rows(all []result) []*row {
	var rows []*row
	for _, one := range all {
		i := slices.IndexFunc(rows, func(r *row) bool { return r.first.Row == one.Row && r.first.Fault == one.Fault })
		if i < 0 {
			i = len(rows)
			rows = append(rows, &row{first: one, runs: make(map[string][]string)})
		}
		r := rows[i]
		r.runs[one.Protocol] = append(r.runs[one.Protocol], one.Measured)
		r.recorded++
		if one.Passed {
			r.passed++
		}
	}
	slices.SortStableFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(number(a.first.Row), number(b.first.Row)), cmp.Compare(a.first.Row, b.first.Row))
	})
	return rows
}

// number is that of a row; rows without one come last.
func number(row string) int {
	n, err := strconv.Atoi(row)
	if err != nil {
		return 1 << 20
	}
	return n
}

func (r *row) protocols() []string {
	place := func(name string) int {
		if i := slices.Index(protocols, name); i >= 0 {
			return i
		}
		return len(protocols)
	}
	return slices.SortedFunc(maps.Keys(r.runs), func(a, b string) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
}

// measured gives what was measured, for each protocol unless it is the same.
func (r *row) measured(names []string) string {
	var each []string
	same := true
	for _, name := range names {
		each = append(each, merge(r.runs[name]))
		same = same && each[0] == each[len(each)-1]
	}
	if same {
		return each[0]
	}
	for i, name := range names {
		each[i] = name + ": " + each[i]
	}
	return strings.Join(each, "<br>")
}

var figure = regexp.MustCompile(`\d+(\.\d+)?`)

// merge makes one text of those of several runs. Where they differ only in
// figures, each is given from the least to the most, since whether less or more
// is worse is not for this program to know. Otherwise the last run counts.
func merge(runs []string) string {
	last := runs[len(runs)-1]
	shape := figure.ReplaceAllString(last, "#")
	low, high := figure.FindAllString(last, -1), figure.FindAllString(last, -1)
	for _, run := range runs {
		if figure.ReplaceAllString(run, "#") != shape {
			return last
		}
		for i, text := range figure.FindAllString(run, -1) {
			if value(text) < value(low[i]) {
				low[i] = text
			}
			if value(text) > value(high[i]) {
				high[i] = text
			}
		}
	}
	i := -1
	return figure.ReplaceAllStringFunc(last, func(string) string {
		i++
		if low[i] == high[i] {
			return low[i]
		}
		return low[i] + " to " + high[i]
	})
}

// value is a figure's; the pattern lets nothing else through.
func value(text string) float64 {
	v, _ := strconv.ParseFloat(text, 64)
	return v
}

// cell keeps a text within its column.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}
