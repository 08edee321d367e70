//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// cost is a figure of the table that a reader sees first.
type cost struct{ what, scenario, key string }

var costs = []cost{
	{"one upload, Gbit/s", "upload-1", "rate"},
	{"CPU seconds for each GB of it", "upload-1", "cpu"},
	{"one download, Gbit/s", "download-1", "rate"},
	{"new connections/s, 64 at a time", "connect-64", "rate"},
	{"CPU µs for each", "connect-64", "cpu"},
	{"round trips/s, 64 connections", "echo-64", "rate"},
	{"CPU µs for each", "echo-64", "cpu"},
	{"µs of one round trip, p50", "echo-1", "p50"},
	{"µs of one among 1,000 users with 10 a second each, p99", "chatter", "p99"},
	{"KiB in the relay for an idle connection", idleName, "near"},
	{"µs for a new user beside 1,000 who never read, p99", "stalled-1000", "p99"},
	{"MiB of the machine's TCP memory with those", "stalled-1000", "memory"},
	{"Mbit/s down, 150 ms there and back, 0.1 % loss", "longhaul-150-0.1-down", "rate"},
}

// costColumns are the columns of that table. Each has the best of its contenders.
var costColumns = []bar{
	{name: "direct", contenders: []string{"direct"}},
	{name: "HAProxy", contenders: []string{"haproxy", "haproxy-splice"}},
	{name: "rathole", contenders: []string{"rathole"}},
	{name: "bore", contenders: []string{"bore"}},
	{name: "frp", contenders: []string{"frp"}},
	{name: "pool", contenders: []string{"relay-pool"}},
	{name: "event", contenders: []string{"relay-event"}},
	{name: "multiplex", contenders: []string{"relay-multiplex"}},
}

// markdownCosts writes what was measured of the costs.
func (r *report) markdownCosts(w io.Writer) {
	fmt.Fprint(w, "| |")
	for _, c := range costColumns {
		fmt.Fprintf(w, " %s |", c.name)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(costColumns)))
	for _, c := range costs {
		if cells, found := r.costCells(c); found {
			fmt.Fprintf(w, "| %s | %s |\n", c.what, strings.Join(cells, " | "))
		}
	}
}

// costCells returns a cell for each column, and false if there is no figure for any.
func (r *report) costCells(c cost) (cells []string, found bool) {
	at := slices.IndexFunc(r.Scenarios, func(s scenarioReport) bool { return s.Name == c.scenario })
	if at < 0 {
		return nil, false
	}
	s := &r.Scenarios[at]
	i := slices.IndexFunc(s.Columns, func(column column) bool { return column.Key == c.key })
	if i < 0 {
		return nil, false
	}
	for _, of := range costColumns {
		cell := "–"
		if best, ok := s.best(of, s.Columns[i]); ok {
			cell, found = row{Median: figures{c.key: best}}.cell(s.Columns[i]), true
		}
		cells = append(cells, cell)
	}
	return cells, found
}
