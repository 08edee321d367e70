package top

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
)

const (
	// headLines are the lines above the table, and footLines those below everything.
	headLines, footLines = 2, 1
	// endsFrom is how high a screen has to be to show ends.
	endsFrom = 14
	// maxProblems bounds the lines about problems. relay status shows all.
	maxProblems = 2
)

// View draws the screen. Bubble Tea leaves out the colors that the terminal, or the person
// there (NO_COLOR), does not want.
func (m *model) View() tea.View {
	v := tea.View{AltScreen: true, WindowTitle: "relay top"}
	if m.width == 0 {
		return v // its size is not known yet
	}
	s := screen.Screen{Width: m.width, Height: m.height, Color: true}
	lines := m.head(s)
	switch {
	case m.help:
		lines = append(lines, helpLines(s)...)
	case !m.asked:
	default:
		lines = append(lines, m.problems(s)...)
		lines = append(lines, m.table(s)...)
	}
	bottom := append(m.ends(s), m.foot(s))
	lines = lines[:min(len(lines), max(0, m.height-len(bottom)))]
	for len(lines)+len(bottom) < m.height {
		lines = append(lines, "")
	}
	lines = append(lines, bottom...)
	for i, line := range lines {
		lines[i] = screen.Cut(line, m.width)
	}
	v.SetContent(strings.Join(lines[:min(len(lines), m.height)], "\n"))
	return v
}

// head returns who is shown, and how it does.
func (m *model) head(s screen.Screen) []string {
	if !m.asked {
		if m.err != nil {
			return []string{m.failure(s), ""}
		}
		return []string{"asking ...", ""}
	}
	st := m.now.status
	what := "relay at "
	if st.Kind == api.Forwarder {
		what = "forwarder to "
	}
	first := s.Paint(screen.Bold, what+screen.Clean(st.Control)) + "  up " + screen.Since(st.Started, st.Now)
	tunnels := "  1 tunnel"
	if st.Tunnels != 1 {
		tunnels = fmt.Sprintf("  %s tunnels", screen.Count(int64(st.Tunnels)))
	}
	if st.Away > 0 {
		tunnels += fmt.Sprintf(" (%s away)", screen.Count(int64(st.Away)))
	}
	first += tunnels + "  " + people(st.Users)
	if st.Waiting > 0 {
		first += fmt.Sprintf(" (%s waiting)", screen.Count(int64(st.Waiting)))
	}
	first += "  in " + screen.Rate(m.rates.all.received) + "  out " + screen.Rate(m.rates.all.sent)
	if st.Draining {
		first += "  " + s.Paint(screen.Yellow, "shutting down")
	}
	if m.err != nil {
		return []string{first, m.failure(s)}
	}
	return []string{first, m.title(s)}
}

// failure returns why the node does not answer.
func (m *model) failure(s screen.Screen) string {
	text, _, _ := strings.Cut(m.explain(m.err).Error(), "\n")
	return s.Paint(screen.Red, "no answer, trying again: "+screen.Clean(text))
}

// title returns what the table has.
func (m *model) title(s screen.Screen) string {
	title := "tunnels"
	if m.place.users {
		title = "users of all tunnels"
		if m.place.tunnel != "" {
			title = "users of " + tunnelLabel(m.tunnel(m.place.tunnel))
		}
	}
	if m.search != "" {
		title += " with " + screen.Clean(m.search)
	}
	return s.Paint(screen.Yellow, title)
}

// problems returns the first of what is wrong.
func (m *model) problems(s screen.Screen) (lines []string) {
	all := m.now.status.Problems
	for i, p := range all {
		if i == maxProblems {
			return append(lines, s.Paint(screen.Red, fmt.Sprintf("! and %d more: relay status", len(all)-i)))
		}
		lines = append(lines, s.Paint(screen.Red, "! "+screen.Clean(p.Text)))
	}
	return lines
}

// tableHeight returns how many rows there is room for.
func (m *model) tableHeight() int {
	return max(1, m.height-headLines-footLines-m.endsHeight()-min(len(m.now.status.Problems), maxProblems+1)-1)
}

// endsHeight returns how many lines the ends take, their title included.
func (m *model) endsHeight() int {
	if m.height < endsFrom || m.help || !m.asked {
		return 0
	}
	return min(m.height/3, maxEnds)
}

// table returns the header and the rows that fit.
func (m *model) table(s screen.Screen) []string {
	if m.place.users {
		return show(m, s, m.shownUsers(), m.userColumns(), "There are no users.", func(u api.User) string { return u.ID })
	}
	empty := "There are no tunnels."
	if len(m.now.tunnels) == 0 && len(m.now.status.Connect) > 0 {
		empty += " To put a server online, run beside it:   " + screen.Clean(m.now.status.Connect[0])
	}
	return show(m, s, m.shownTunnels(), m.tunnelColumns(), empty, func(t api.Tunnel) string { return t.ID })
}

func show[T any](m *model, s screen.Screen, rows []T, columns []column[T], empty string, id func(T) string) []string {
	if len(rows) == 0 {
		if m.search != "" {
			empty = "The search finds none. Esc ends it."
		}
		return screen.Wrap(empty, s.Width)
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = id(row)
	}
	selected := m.position(ids)
	m.row = selected
	height := m.tableHeight()
	m.offset = min(max(m.offset, selected-height+1), selected, max(0, len(rows)-height))
	rows = rows[m.offset:min(len(rows), m.offset+height)]

	table := &screen.Table{}
	by := m.sort[m.place.users]
	for i, c := range columns {
		if i == by.column {
			c.Title += map[bool]string{false: "▼", true: "▲"}[by.reversed]
		}
		table.Columns = append(table.Columns, c.Column)
	}
	for _, row := range rows {
		cells := make([]screen.Cell, len(columns))
		for i, c := range columns {
			cells[i] = c.cell(row)
		}
		table.Rows = append(table.Rows, cells)
	}
	lines := table.Lines(s)
	uncolored := s
	uncolored.Color = false
	line := table.Lines(uncolored)[selected-m.offset+1]
	lines[selected-m.offset+1] = s.Paint(screen.Invert, screen.Pad(line, s.Width))
	return lines
}

// ends returns the last connections that are over, with their reasons.
func (m *model) ends(s screen.Screen) []string {
	height := m.endsHeight()
	if height == 0 {
		return nil
	}
	lines := []string{s.Paint(screen.Faint, "last ends")}
	if len(m.now.ended) == 0 {
		lines = append(lines, "No connection has ended yet.")
	} else {
		table := &screen.Table{Columns: []screen.Column{
			{Title: "AT"}, {Title: "PORT", Right: true, Least: 5}, {Title: "NAME", Min: 6, Least: 8, Optional: 1}, {Title: "USER", Min: 15, Least: 21},
			{Title: "LASTED", Right: true, Least: 6}, {Title: "IN", Right: true, Least: 6}, {Title: "OUT", Right: true, Least: 6}, {Title: "ENDED BY", Min: 20},
		}}
		for _, e := range m.now.ended[:min(len(m.now.ended), height-2)] {
			table.Rows = append(table.Rows, endRow(e, m.now.status))
		}
		lines = append(lines, table.Lines(s)...)
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines
}

func endRow(e api.Ended, st api.Status) []screen.Cell {
	return []screen.Cell{
		{Text: screen.Clock(e.At, st.Now), Style: screen.Faint},
		plain(screen.TunnelPort(api.Tunnel{Port: e.Port})),
		plain(screen.EndName(e)),
		plain(screen.Clean(e.Address)),
		plain(screen.Duration(screen.Seconds(e.DurationSeconds))),
		plain(screen.Bytes(e.Received)),
		plain(screen.Bytes(e.Sent)),
		screen.End(e),
	}
}

// foot returns what the keys do, what is asked, or what was done.
func (m *model) foot(s screen.Screen) string {
	switch {
	case m.question != nil:
		return s.Paint(screen.Invert, screen.Pad(screen.Cut(m.question.text, max(0, m.width-len(" y/n ")))+" y/n ", m.width))
	case m.typing:
		return "/" + screen.Clean(m.search) + s.Paint(screen.Invert, " ") + s.Paint(screen.Faint, "  enter keeps it, esc ends it")
	case m.note != "":
		return screen.Clean(m.note)
	case m.place.users:
		return s.Paint(screen.Faint, "x end  s sort  r reverse  / search  esc tunnels  ? help  q quit")
	}
	return s.Paint(screen.Faint, "enter users  x end  p pause  s sort  r reverse  / search  ? help  q quit")
}

func helpLines(s screen.Screen) []string {
	table := &screen.Table{Columns: []screen.Column{{Title: "KEY"}, {Title: "WHAT IT DOES"}}}
	for _, line := range [][2]string{
		{"↑ ↓ j k", "select a row; PgUp, PgDn, Home and End, too"},
		{"enter", "show the users of the tunnel that is selected"},
		{"u, t", "show the users of all tunnels, or the tunnels"},
		{"esc", "end the search, or go back to the tunnels"},
		{"x", "end the user, or the tunnel, that is selected; it asks first"},
		{"p", "have the tunnel take no new users, or take them again; it asks first"},
		{"s S ← →", "sort by the next column, or by the previous one"},
		{"r", "reverse the order"},
		{"/", "show only what has a text in it: a port, a name, an address, a state"},
		{"q", "quit"},
	} {
		table.Add(line[0], line[1])
	}
	lines := table.Lines(s)
	return append(lines, "", "IN is from users, OUT is to them. What ENDED BY says is in docs/operating.md.")
}
