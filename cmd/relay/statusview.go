package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
)

// seen is what one process has said about itself.
type seen struct {
	Socket  string       `json:"socket,omitempty"`
	URL     string       `json:"url,omitempty"`
	Status  api.Status   `json:"status"`
	Tunnels []api.Tunnel `json:"tunnels"`
}

// leastTunnels are shown on a screen, however low it is.
const leastTunnels = 5

// showStatus writes what an operator looks for first. Where there are more tunnels than
// the screen has lines, unless all is set, those with trouble and with most users are
// shown.
func showStatus(s screen.Screen, n seen, all bool) {
	lines := facts(s, n.Status)
	problems := problemLines(s, n, all)
	if len(n.Tunnels) == 0 {
		lines = append(lines, howToConnect(s, n.Status)...)
	} else {
		room := math.MaxInt
		if s.Height > 0 && !all {
			// The header of the table, two blank lines, the line about those that are left
			// out, and the next prompt.
			room = max(leastTunnels, s.Height-len(lines)-len(problems)-5)
		}
		lines = append(lines, "")
		lines = append(lines, tunnelLines(s, n.Status, n.Tunnels, room)...)
	}
	fmt.Fprint(s, strings.Join(append(lines, problems...), "\n")+"\n")
}

// facts returns what a process is.
func facts(s screen.Screen, st api.Status) []string {
	what, forWhom := "relay at "+screen.Clean(st.Control), "ports "+screen.Clean(st.Ports)
	if st.Kind == api.Forwarder {
		what, forWhom = "forwarder to "+screen.Clean(st.Control), ""
	}
	switch {
	case st.Open:
		forWhom += ", open to everybody"
	case st.Kind == api.Relay:
		forWhom += ", for those whom it knows"
	}
	head := s.Paint(screen.Bold, what) + ", up " + screen.Duration(st.Now.Sub(st.Started))
	if st.Draining {
		head += ", " + s.Paint(screen.Yellow, "shutting down")
	}
	if st.Successor != 0 {
		head += fmt.Sprintf(", %s: process %d has taken over", s.Paint(screen.Yellow, "ends with its users"), st.Successor)
	}
	lines := []string{head}
	fact := func(name, value string) { lines = append(lines, fmt.Sprintf("  %-10s %s", name, value)) }
	fact("started", st.Started.Local().Format("2006-01-02 15:04:05")+", version "+screen.Clean(st.Version))
	if forWhom != "" {
		fact("serves", forWhom)
	}
	if c := st.Config; c != nil {
		loaded := "loaded " + c.Loaded.Local().Format("2006-01-02 15:04:05")
		if c.Error != "" {
			loaded += ", and " + s.Paint(screen.Yellow, "not in force as it is now")
		}
		fact("file", screen.Clean(c.File)+", "+loaded)
	}
	tunnels := screen.Count(int64(st.Tunnels)) + " registered"
	if st.Away > 0 {
		tunnels += ", " + screen.Count(int64(st.Away)) + " not"
	}
	if st.Kind == api.Relay {
		tunnels = fmt.Sprintf("%s served, %s away", screen.Count(int64(st.Tunnels)), screen.Count(int64(st.Away)))
	}
	fact("tunnels", tunnels)
	fact("users", fmt.Sprintf("%s now, %s waiting, %s since the start",
		screen.Count(int64(st.Users)), screen.Count(int64(st.Waiting)), screen.Count(st.Connections)))
	fact("bytes", fmt.Sprintf("%s from users, %s to users", screen.Bytes(st.Received), screen.Bytes(st.Sent)))
	return lines
}

// howToConnect returns what to do where there are no tunnels, unless there will be none.
func howToConnect(s screen.Screen, st api.Status) []string {
	if st.Draining || st.Successor != 0 {
		return nil
	}
	lines := []string{"", "There are no tunnels."}
	if len(st.Connect) > 0 {
		lines = append(lines, "To put a server online, run beside it:", "")
	}
	for _, line := range st.Connect {
		lines = append(lines, "  "+s.Paint(screen.Bold, screen.Clean(line)))
	}
	return lines
}

// tunnelLines returns a table of at most room tunnels.
func tunnelLines(s screen.Screen, st api.Status, tunnels []api.Tunnel, room int) []string {
	shown := tunnels
	if fitting(tunnels, room) < len(tunnels) {
		shown = slices.Clone(tunnels)
		slices.SortStableFunc(shown, func(a, b api.Tunnel) int {
			return cmp.Or(cmp.Compare(trouble(b), trouble(a)), cmp.Compare(b.Users, a.Users))
		})
		shown = shown[:max(1, fitting(shown, room))]
	}
	lines := tunnelTable(st, shown).Lines(s)
	if left := len(tunnels) - len(shown); left > 0 {
		lines = append(lines, fmt.Sprintf("and %s more: relay status --all", screen.Count(int64(left))))
	}
	return lines
}

// fitting returns how many tunnels, with the members of groups, have room in so many lines.
func fitting(tunnels []api.Tunnel, lines int) int {
	for i, t := range tunnels {
		if lines -= 1 + len(t.Members); lines < 0 {
			return i
		}
	}
	return len(tunnels)
}

// trouble orders tunnels by whether there is anything to do about them.
func trouble(t api.Tunnel) int {
	switch t.State {
	case api.LocalServerDown, api.Silent, api.Unreachable:
		return 2
	case api.Away, api.Paused, api.Connecting:
		return 1
	}
	return 0
}

func tunnelTable(st api.Status, tunnels []api.Tunnel) *screen.Table {
	table := &screen.Table{Columns: []screen.Column{
		{Title: "PORT", Right: true},
		{Title: "NAME", Min: 12},
		{Title: "STATE", Min: len(api.Unreachable)},
		{Title: "FOR", Right: true},
		{Title: "USERS", Right: true},
		{Title: "RECEIVED", Right: true},
		{Title: "SENT", Right: true},
		{Title: "PROTOCOL", Optional: 1},
		{Title: "ROUND TRIP", Right: true, Optional: 3},
		{Title: "RELAY CLIENT", Optional: 2},
	}}
	if st.Kind == api.Forwarder {
		table.Columns[9].Title = "LOCAL SERVER"
	}
	for _, t := range tunnels {
		state := screen.State(t.State)
		if t.Error != "" {
			state.Text += " (" + screen.Clean(t.Error) + ")"
		}
		row := []screen.Cell{
			{Text: screen.TunnelPort(t), Style: screen.Bold},
			{Text: screen.Name(t)},
			state,
			{Text: screen.Since(t.Since, st.Now)},
			{Text: screen.Count(int64(t.Users))},
			{Text: screen.Bytes(t.Received)},
			{Text: screen.Bytes(t.Sent)},
			{Text: screen.Clean(cmp.Or(t.Protocol, "-"))},
			{Text: roundTrip(t.RoundTripSeconds)},
			{Text: screen.Behind(t)},
		}
		table.Rows = append(append(table.Rows, row), memberRows(st, t)...)
	}
	return table
}

// memberRows returns a row for each member of a group, to stand below that.
func memberRows(st api.Status, t api.Tunnel) (rows [][]screen.Cell) {
	for _, m := range t.Members {
		state := screen.State(m.State)
		if m.Error != "" {
			state.Text += " (" + screen.Clean(m.Error) + ")"
		}
		rows = append(rows, []screen.Cell{
			{}, {Text: "- " + screen.Clean(cmp.Or(m.Name, "member"))}, state, {Text: screen.Since(m.Since, st.Now)},
			{Text: screen.Count(int64(m.Users))}, {}, {}, {Text: screen.Clean(m.Protocol)}, {Text: roundTrip(m.RoundTripSeconds)},
			{Text: screen.Clean(m.RelayClient)},
		})
	}
	return rows
}

func roundTrip(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return screen.Duration(screen.Seconds(seconds))
}

// problemLines returns what is wrong, and what to do. On a screen, unless all is set, the
// problems take up to a third of it.
func problemLines(s screen.Screen, n seen, all bool) []string {
	if len(n.Status.Problems) == 0 {
		return nil
	}
	lines := []string{"", s.Paint(screen.Red, "Problems:")}
	for i, p := range n.Status.Problems {
		if s.Height > 0 && !all && i > 0 && len(lines) >= s.Height/3 {
			return append(lines, fmt.Sprintf("and %s more: relay status --all", screen.Count(int64(len(n.Status.Problems)-i))))
		}
		text := screen.Clean(p.Text)
		if p.Since != nil {
			text += " (for " + screen.Since(*p.Since, n.Status.Now) + ")"
		}
		const bullet, indent = "  - ", "    "
		for i, line := range screen.Wrap(text, max(s.Width-len(indent), 0)) {
			lines = append(lines, []string{bullet, indent}[min(i, 1)]+line)
		}
	}
	return lines
}

// tunnelLabel returns how a tunnel is called in a sentence: port 20001 (web).
func tunnelLabel(t api.Tunnel) string {
	label := "port " + screen.TunnelPort(t)
	if name := screen.Name(t); name != "-" {
		label += " (" + name + ")"
	}
	return label
}
