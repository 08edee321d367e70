//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/seed96252745/relay/internal/netlab"
)

// report is all results, as they are written in JSON.
type report struct {
	Finished  time.Time        `json:"finished"`
	Machine   machine          `json:"machine"`
	Versions  []version        `json:"versions"`
	Rounds    int              `json:"rounds"`
	Seconds   float64          `json:"seconds"`
	Notes     []string         `json:"notes,omitempty"`
	Scenarios []scenarioReport `json:"scenarios"`
}

type version struct {
	Contender string `json:"contender"`
	Hops      string `json:"hops"`
	Version   string `json:"version,omitempty"`
}

type scenarioReport struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Note    string   `json:"note,omitempty"`
	Columns []column `json:"columns"`
	Chart   []string `json:"chart"`
	Rows    []row    `json:"contenders"`

	scenario   scenario
	contenders []contender // of the rows
}

// row is a contender in one scenario.
type row struct {
	Contender string    `json:"contender"`
	Relay     bool      `json:"relay,omitempty"`
	Encrypted bool      `json:"encrypted,omitempty"`
	Median    figures   `json:"median,omitempty"`
	Rounds    []figures `json:"rounds,omitempty"`
	// Error and LeftOut say why there are no figures.
	Error   string `json:"error,omitempty"`
	LeftOut string `json:"left_out,omitempty"`
}

func newReport(ctx context.Context, b *bench, contenders []contender) *report {
	r := &report{Machine: thisMachine(), Rounds: b.rounds, Seconds: b.seconds}
	for _, c := range contenders {
		r.Versions = append(r.Versions, version{c.name, c.hops, versionOf(ctx, c, b)})
	}
	return r
}

// choose returns those of the contenders that are measured: the usual ones, or all if they
// were asked for by name.
func (s scenario) choose(contenders []contender, named bool) []contender {
	if named || s.usual == nil {
		return contenders
	}
	return slices.DeleteFunc(slices.Clone(contenders), func(c contender) bool { return !s.usual(c) })
}

func newScenarioReport(s scenario, contenders []contender) *scenarioReport {
	r := &scenarioReport{
		Name: s.name, About: s.about, Note: s.note, Columns: s.columns, Chart: s.chart,
		scenario: s, contenders: contenders,
	}
	for _, c := range contenders {
		r.Rows = append(r.Rows, row{
			Contender: c.name, Relay: c.protocol != "", Encrypted: c.encrypted, LeftOut: s.leavesOut(c),
		})
	}
	return r
}

// leavesOut returns the reason why a contender is not measured, or "".
func (s scenario) leavesOut(c contender) string {
	switch {
	case s.relayOnly != "" && c.protocol == "":
		return s.relayOnly
	case s.load.Conns > fewConns && c.fewConns != "":
		return c.fewConns
	case s.load.Up > 0 && c.noUploads != "":
		return c.noUploads
	case s.notDirect && c.name == "direct":
		return "it has no hops"
	case s.wire != nil && netlab.Missing() != "":
		return netlab.Missing()
	}
	return c.missing()
}

// conclude makes one figure of those of all rounds. A row that failed once has none.
func (r *scenarioReport) conclude() {
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Error != "" || len(row.Rounds) == 0 {
			continue
		}
		row.Median = make(figures)
		for _, column := range r.Columns {
			if values := row.values(column); len(values) > 0 {
				row.Median[column.Key] = median(values)
			}
		}
	}
	r.compareWithDirect()
}

// compareWithDirect adds to each row how it compares with that without hops.
func (r *scenarioReport) compareWithDirect() {
	for _, direct := range r.Rows {
		if direct.Contender != "direct" {
			continue
		}
		for _, row := range r.Rows {
			for key, of := range r.scenario.ofDirect {
				if figure, ok := row.Median[of]; ok && direct.Median[of] > 0 {
					row.Median[key] = figure / direct.Median[of]
				}
			}
		}
	}
}

func (r *report) failures() (n int) {
	for _, s := range r.Scenarios {
		for _, row := range s.Rows {
			if row.Error != "" {
				n++
			}
		}
	}
	return n
}

func (r *report) write(o options, stdout io.Writer) error {
	r.printTables(stdout)
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("the figures as JSON: %w", err)
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("the figures as JSON: %w", err)
		}
	}
	if o.svg != "" {
		if err := r.draw(o.svg); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		if err := r.writeMarkdown(o.markdown, o.svg); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) printTables(w io.Writer) {
	for _, s := range r.Scenarios {
		fmt.Fprintf(w, "\n%s: %s\n", s.Name, s.About)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(table, "\t")
		for _, column := range s.Columns {
			fmt.Fprintf(table, "%s\t", column.Title)
		}
		fmt.Fprint(table, "\n")
		for _, row := range s.Rows {
			if row.Median == nil {
				continue
			}
			fmt.Fprintf(table, "%s\t", row.Contender)
			for _, column := range s.Columns {
				fmt.Fprintf(table, "%s\t", row.cell(column))
			}
			fmt.Fprint(table, "\n")
		}
		_ = table.Flush()
		for _, comparison := range s.compare() {
			comparison.print(w)
		}
		for _, row := range s.Rows {
			if why := row.why(); why != "" {
				fmt.Fprintf(w, "  %s: %s\n", row.Contender, why)
			}
		}
		if s.Note != "" {
			fmt.Fprintf(w, "  %s\n", s.Note)
		}
	}
	r.printAims(w)
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

func (r row) cell(c column) string {
	value, ok := r.Median[c.Key]
	if !ok {
		return "–"
	}
	return strconv.FormatFloat(value, 'f', c.Digits, 64)
}

// why returns the reason why there are no figures, or "".
func (r row) why() string {
	switch {
	case r.Error != "":
		return "failed: " + r.Error
	case r.LeftOut != "":
		return "left out: " + r.LeftOut
	case len(r.Rounds) == 0:
		return "not reached"
	}
	return ""
}
