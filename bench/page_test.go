//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// measuredReport is a report with one scenario, which misses one aim of two.
func measuredReport(rate float64) *report {
	return &report{
		Versions: []version{{Contender: "relay-pool"}},
		Scenarios: []scenarioReport{{
			Name: "connect-64", About: "connections", Columns: []column{{"rate", "connections/s", 0, more}},
			Rows: []row{
				{Contender: "relay-pool", Relay: true, Median: figures{"rate": rate}},
				{Contender: "haproxy", Median: figures{"rate": 1000}},
				{Contender: "rathole", Median: figures{"rate": 800}},
			},
		}},
	}
}

func TestAims(t *testing.T) {
	lines := measuredReport(896).aimsTable(func(figure string) string { return "*" + figure })
	if len(lines) != 2 {
		t.Fatalf("aims with figures: %v", lines)
	}
	for i, want := range []string{"0.90 (0.9)", "1.12 (1)"} { // as good as the aim once it is rounded
		if lines[i][2] != want {
			t.Errorf("line %d has %q, want %q", i, lines[i][2], want)
		}
	}
	if line := measuredReport(500).aimsTable(func(figure string) string { return "*" + figure })[0]; line[2] != "*0.50 (0.9)" || line[3] != "– (0.85)" {
		t.Errorf("a missed aim, and one that was not measured: %q", line)
	}
}

// TestPage has a later run replace the figures of an earlier one, and leave the rest of the
// page as it is.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	const frame = "words\n<!-- costs -->\n<!-- /costs -->\n<!-- aims -->\nold\n<!-- /aims -->\nmore\n<!-- run -->\n<!-- /run -->\nend\n"
	if err := os.WriteFile(page, []byte(frame), 0o600); err != nil {
		t.Fatal(err)
	}
	var files []string
	for name, rate := range map[string]float64{"1.json": 500, "2.json": 2000} {
		text, err := json.Marshal(measuredReport(rate))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files = append(files, filepath.Join(dir, "1.json"), filepath.Join(dir, "2.json"))
	for range 2 { // it replaces what it has put there, too
		if err := pageMain(page, files); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	for _, want := range []string{"words\n", "2.00 (0.9)", "\nmore\n", "![connect-64](page/connect-64.svg)", "| relay-pool | 2000 |", "\nend\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") || strings.Contains(got, "| relay-pool | 500 |") || strings.Count(got, "### connect-64") != 1 {
		t.Errorf("figures that were replaced:\n%s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "page", "connect-64.svg")); err != nil {
		t.Error(err)
	}
}
