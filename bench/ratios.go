//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// better is which of two figures of a column is the better one.
type better string

const (
	more better = "more"
	less better = "less"
)

// bar is what relays are compared with: the best of some contenders, in each column.
type bar struct {
	name       string
	contenders []string
	// encrypted is true if it is the bar for relays that encrypt, and not for others.
	encrypted bool
}

var bars = []bar{
	{name: haproxyBar, contenders: []string{"haproxy", "haproxy-splice"}},
	{name: ratholeBar, contenders: []string{"rathole"}},
	{name: stunnelBar, contenders: []string{"stunnel"}, encrypted: true},
}

// best returns the best figure of the bar's contenders, if any has one.
func (r *scenarioReport) best(b bar, c column) (best float64, found bool) {
	for _, row := range r.Rows {
		value, ok := row.Median[c.Key]
		if !ok || !slices.Contains(b.contenders, row.Contender) {
			continue
		}
		if !found || (c.Better == more) == (value > best) {
			best, found = value, true
		}
	}
	return best, found
}

// comparison is how the relays of a scenario compare with a bar.
type comparison struct {
	against string
	columns []column
	rows    []row // with ratios for figures
}

// compare returns the ratios of all relays to the bars that were measured beside them.
func (r *scenarioReport) compare() []comparison {
	var all []comparison
	for _, b := range bars {
		c := comparison{against: b.name}
		best := make(figures)
		for _, column := range r.Columns {
			if value, ok := r.best(b, column); ok && column.Better != "" && value > 0 {
				best[column.Key] = value
				c.columns = append(c.columns, column)
			}
		}
		for _, of := range r.Rows {
			if of.Median == nil || !of.Relay || of.Encrypted != b.encrypted {
				continue
			}
			ratios := make(figures)
			for key, value := range best {
				if figure, ok := of.Median[key]; ok {
					ratios[key] = figure / value
				}
			}
			c.rows = append(c.rows, row{Contender: of.Contender, Median: ratios})
		}
		if len(c.columns) > 0 && len(c.rows) > 0 {
			all = append(all, c)
		}
	}
	for _, c := range []comparison{r.compareBuilds(), r.compareServers()} {
		if len(c.rows) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// compareServers returns the ratios of the relay to sshd, with the same SSH client, likewise.
func (r *scenarioReport) compareServers() comparison {
	c := comparison{against: "ssh"}
	find := func(name string) int {
		return slices.IndexFunc(r.Rows, func(of row) bool { return of.Contender == name && of.Median != nil })
	}
	for _, column := range r.Columns {
		if column.Better != "" {
			c.columns = append(c.columns, column)
		}
	}
	if relay, sshd := find(sshName), find("ssh"); relay >= 0 && sshd >= 0 {
		c.rows = append(c.rows, ratiosOf(r.Rows[relay], r.Rows[sshd], c.columns))
	}
	return c
}

// compareBuilds returns the ratios of all relays to those of the other build, of each round
// and the median of these: what slows both down in a round does not count.
func (r *scenarioReport) compareBuilds() comparison {
	c := comparison{against: "the same of " + beforeName}
	for _, column := range r.Columns {
		if column.Better != "" {
			c.columns = append(c.columns, column)
		}
	}
	for _, of := range r.Rows {
		name, isRelay := strings.CutPrefix(of.Contender, relayName+"-")
		at := slices.IndexFunc(r.Rows, func(other row) bool { return isRelay && other.Contender == beforeName+"-"+name })
		if at < 0 || of.Median == nil || r.Rows[at].Median == nil {
			continue
		}
		c.rows = append(c.rows, ratiosOf(of, r.Rows[at], c.columns))
	}
	return c
}

// ratiosOf returns a row with the ratios of a row's rounds to another row's.
func ratiosOf(of, to row, columns []column) row {
	ratios := row{Contender: of.Contender, Median: make(figures)}
	for i := range min(len(of.Rounds), len(to.Rounds)) {
		ratios.Rounds = append(ratios.Rounds, make(figures))
		for _, c := range columns {
			figure, ok := of.Rounds[i][c.Key]
			if other := to.Rounds[i][c.Key]; ok && other > 0 {
				ratios.Rounds[i][c.Key] = figure / other
			}
		}
	}
	for _, c := range columns {
		if values := ratios.values(c); len(values) > 0 {
			ratios.Median[c.Key] = median(values)
		}
	}
	return ratios
}

// values returns the figures that rounds have in a column.
func (r row) values(c column) (values []float64) {
	for _, round := range r.Rounds {
		if value, ok := round[c.Key]; ok && !math.IsNaN(value) && !math.IsInf(value, 0) {
			values = append(values, value)
		}
	}
	return values
}

// cell returns a ratio as it is printed: with the quartiles of the rounds, if they were
// compared one by one.
func (c comparison) cell(r row, column column) string {
	value, ok := r.Median[column.Key]
	if !ok {
		return "–"
	}
	if values := r.values(column); len(values) > 1 {
		lower, upper := quartiles(values)
		return fmt.Sprintf("%.3f (%.2f–%.2f)", value, lower, upper)
	}
	return strconv.FormatFloat(value, 'f', 2, 64)
}

func (c comparison) print(w io.Writer) {
	fmt.Fprintf(w, "  of %s:\n", c.against)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\t")
	for _, column := range c.columns {
		fmt.Fprintf(table, "%s\t", column.Title)
	}
	fmt.Fprint(table, "\n")
	for _, r := range c.rows {
		fmt.Fprintf(table, "%s\t", r.Contender)
		for _, column := range c.columns {
			fmt.Fprintf(table, "%s\t", c.cell(r, column))
		}
		fmt.Fprint(table, "\n")
	}
	_ = table.Flush()
}

func (c comparison) markdown(w io.Writer) {
	fmt.Fprintf(w, "\n| of %s |", c.against)
	for _, column := range c.columns {
		fmt.Fprintf(w, " %s |", column.Title)
	}
	fmt.Fprint(w, "\n|---|")
	for range c.columns {
		fmt.Fprint(w, "---:|")
	}
	fmt.Fprint(w, "\n")
	for _, r := range c.rows {
		fmt.Fprintf(w, "| %s |", r.Contender)
		for _, column := range c.columns {
			fmt.Fprintf(w, " %s |", c.cell(r, column))
		}
		fmt.Fprint(w, "\n")
	}
}
