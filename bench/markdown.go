//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeMarkdown writes the tables, with the charts of svg if there are any.
func (r *report) writeMarkdown(file, svg string) error {
	charts := ""
	if svg != "" {
		from, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			return fmt.Errorf("the figures as Markdown: %w", err)
		}
		to, err := filepath.Abs(svg)
		if err != nil {
			return fmt.Errorf("the figures as Markdown: %w", err)
		}
		if charts, err = filepath.Rel(from, to); err != nil {
			return fmt.Errorf("the figures as Markdown: %w", err)
		}
	}
	var w bytes.Buffer
	r.markdownAims(&w)
	fmt.Fprintln(&w)
	r.markdown(&w, charts)
	if err := os.WriteFile(file, w.Bytes(), 0o644); err != nil {
		return fmt.Errorf("the figures as Markdown: %w", err)
	}
	return nil
}

// markdown writes everything, with charts from a folder if that is not empty.
func (r *report) markdown(w *bytes.Buffer, charts string) {
	r.markdownAbout(w)
	for _, s := range r.Scenarios {
		s.markdown(w, charts)
	}
}

func (r *report) markdownAbout(w *bytes.Buffer) {
	m := r.Machine
	fmt.Fprintf(w, "Measured on %s: medians of %d rounds, %g seconds each.\n\n",
		r.Finished.Format("2006-01-02"), r.Rounds, r.Seconds)
	fmt.Fprintf(w, "| machine | |\n|---|---|\n")
	for _, line := range [][2]string{
		{"processor", fmt.Sprintf("%d × %s", m.Processors, m.Processor)},
		{"memory", m.Memory},
		{"kernel", m.Kernel},
		{"Go", m.Go},
		{"TCP", "congestion control " + m.Congestion + ", tcp_rmem " + m.ReadBuf + ", tcp_wmem " + m.WriteBuf},
	} {
		fmt.Fprintf(w, "| %s | %s |\n", line[0], line[1])
	}
	fmt.Fprintf(w, "\n| contender | hops | version |\n|---|---|---|\n")
	for _, v := range r.Versions {
		fmt.Fprintf(w, "| %s | %s | %s |\n", v.Contender, v.Hops, v.Version)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

func (s scenarioReport) markdown(w *bytes.Buffer, charts string) {
	fmt.Fprintf(w, "\n### %s\n\n%s.\n\n| |", s.Name, strings.ToUpper(s.About[:1])+s.About[1:])
	for _, column := range s.Columns {
		fmt.Fprintf(w, " %s |", column.Title)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(s.Columns)))
	for _, row := range s.Rows {
		if row.Median == nil {
			continue
		}
		fmt.Fprintf(w, "| %s |", row.Contender)
		for _, column := range s.Columns {
			fmt.Fprintf(w, " %s |", row.cell(column))
		}
		fmt.Fprintln(w)
	}
	for _, comparison := range s.compare() {
		comparison.markdown(w)
	}
	for _, row := range s.Rows {
		if why := row.why(); why != "" {
			first, _, _ := strings.Cut(why, "\n")
			fmt.Fprintf(w, "\n%s: %s.\n", row.Contender, first)
		}
	}
	if s.Note != "" {
		fmt.Fprintf(w, "\n%s\n", s.Note)
	}
	if charts != "" && s.drawable() {
		fmt.Fprintf(w, "\n![%s](%s)\n", s.Name, filepath.ToSlash(filepath.Join(charts, s.Name+".svg")))
	}
}
