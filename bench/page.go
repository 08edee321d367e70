//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A page has these parts, each between <!-- name --> and <!-- /name -->.
const (
	costsPart = "costs"
	aimsPart  = "aims"
	runPart   = "run"
)

// pageMain puts the figures of JSON files into a page of Markdown, and the charts into a
// directory beside it that has the page's name. Where two files have the same scenario, the
// later one counts: so a run can be made in pieces.
func pageMain(page string, files []string) error {
	merged := new(report)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("figures: %w", err)
		}
		r := new(report)
		if err := json.Unmarshal(text, r); err != nil {
			return fmt.Errorf("figures of %s: %w", file, err)
		}
		merged.add(r)
	}
	if len(merged.Scenarios) == 0 {
		return errors.New("there are no figures: name a file that -json has written")
	}
	charts := strings.TrimSuffix(page, filepath.Ext(page))
	if err := merged.redraw(charts); err != nil {
		return err
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("the page: %w", err)
	}
	var costs, aims, run bytes.Buffer
	merged.markdownCosts(&costs)
	merged.markdownAims(&aims)
	merged.markdown(&run, filepath.Base(charts))
	for name, part := range map[string][]byte{costsPart: costs.Bytes(), aimsPart: aims.Bytes(), runPart: run.Bytes()} {
		if text, err = replacePart(text, name, part); err != nil {
			return err
		}
	}
	if err := os.WriteFile(page, text, 0o644); err != nil {
		return fmt.Errorf("the page: %w", err)
	}
	return nil
}

// redraw replaces the charts in a directory.
func (r *report) redraw(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil {
		return fmt.Errorf("the charts: %w", err)
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("the charts: %w", err)
		}
	}
	return r.draw(dir)
}

// add adds a later report. Machine, rounds and time are those of the last one.
func (r *report) add(later *report) {
	scenarios, versions := r.Scenarios, r.Versions
	*r = *later
	r.Scenarios, r.Versions = scenarios, versions
	for _, v := range later.Versions {
		r.Versions = put(r.Versions, v, func(v version) string { return v.Contender })
	}
	for _, s := range later.Scenarios {
		r.Scenarios = put(r.Scenarios, s, func(s scenarioReport) string { return s.Name })
	}
}

// put puts an item in the place of the one with the same name, or at the end.
func put[T any](all []T, item T, name func(T) string) []T {
	for i := range all {
		if name(all[i]) == name(item) {
			all[i] = item
			return all
		}
	}
	return append(all, item)
}

// replacePart replaces what is between the comments of a name.
func replacePart(text []byte, name string, part []byte) ([]byte, error) {
	begin, end := fmt.Appendf(nil, "<!-- %s -->\n", name), fmt.Appendf(nil, "<!-- /%s -->", name)
	before, rest, found := bytes.Cut(text, begin)
	_, after, ended := bytes.Cut(rest, end)
	if !found || !ended {
		return nil, fmt.Errorf("the page has no part between %q and %q", bytes.TrimSpace(begin), end)
	}
	return bytes.Join([][]byte{before, begin, part, end, after}, nil), nil
}
