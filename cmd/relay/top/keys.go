package top

import (
	"fmt"
	"slices"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
)

// key takes a key that was pressed.
func (m *model) key(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	switch {
	case key == "ctrl+c":
		return tea.Quit
	case key == "ctrl+z":
		return tea.Suspend
	case m.question != nil:
		return m.answer(key)
	case m.typing:
		m.typed(msg)
		return nil
	}
	m.note = ""
	if m.help {
		m.help = false // any key closes it
		return nil
	}
	return m.command(key)
}

// command takes a key that is neither an answer nor part of a search.
func (m *model) command(key string) tea.Cmd {
	switch key {
	case "q":
		return tea.Quit
	case "?", "h":
		m.help = true
	case "/":
		m.typing = true
	case "s", "right":
		m.sortBy(1)
	case "S", "left":
		m.sortBy(-1)
	case "r":
		by := m.sort[m.place.users]
		by.reversed = !by.reversed
		m.sort[m.place.users] = by
	case "enter":
		if !m.place.users && m.selection() != "" {
			return m.look(place{users: true, tunnel: m.selection()})
		}
	case "u":
		return m.look(place{users: true})
	case "t":
		return m.look(place{})
	case "esc", "backspace":
		return m.back()
	case "x", "delete":
		m.ask()
	case "p":
		m.askPause()
	default:
		m.move(key)
	}
	return nil
}

// back undoes the search, or else returns to the tunnels.
func (m *model) back() tea.Cmd {
	if m.search != "" {
		m.search = ""
		return nil
	}
	if m.place.users {
		selected := m.place.tunnel
		look := m.look(place{})
		m.selected = selected
		return look
	}
	return nil
}

// typed takes a key of the search.
func (m *model) typed(msg tea.KeyPressMsg) {
	switch msg.String() {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.search = false, ""
	case "backspace":
		_, last := utf8.DecodeLastRuneInString(m.search)
		m.search = m.search[:len(m.search)-last]
	default:
		m.search += screen.Clean(msg.Text)
	}
}

func (m *model) sortBy(step int) {
	columns := len(m.tunnelColumns())
	if m.place.users {
		columns = len(m.userColumns())
	}
	by := m.sort[m.place.users]
	m.sort[m.place.users] = order{column: (by.column + step + columns) % columns}
}

// ids returns the IDs of the rows, in their order.
func (m *model) ids() (ids []string) {
	if m.place.users {
		for _, u := range m.shownUsers() {
			ids = append(ids, u.ID)
		}
		return ids
	}
	for _, t := range m.shownTunnels() {
		ids = append(ids, t.ID)
	}
	return ids
}

// position returns the row that is selected. If that one is gone, it is the one in its
// place.
func (m *model) position(ids []string) int {
	if i := slices.Index(ids, m.selected); i >= 0 {
		return i
	}
	return min(m.row, max(0, len(ids)-1))
}

// selection returns the ID of the row that is selected, or "" without any rows.
func (m *model) selection() string {
	ids := m.ids()
	if len(ids) == 0 {
		return ""
	}
	return ids[m.position(ids)]
}

// move selects another row.
func (m *model) move(key string) {
	ids := m.ids()
	if len(ids) == 0 {
		return
	}
	page := max(1, m.tableHeight()-1)
	step, ok := map[string]int{
		"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdown": page, "space": page,
		"home": -len(ids), "g": -len(ids), "end": len(ids), "G": len(ids),
	}[key]
	if ok {
		m.selected = ids[min(max(0, m.position(ids)+step), len(ids)-1)]
	}
}

// user returns the user with an ID.
func (m *model) user(id string) (api.User, bool) {
	for _, u := range m.now.users {
		if u.ID == id {
			return u, true
		}
	}
	return api.User{}, false
}

// tunnelLabel returns how a tunnel is called in a sentence.
func tunnelLabel(t api.Tunnel) string {
	if name := screen.Name(t); name != "-" {
		return fmt.Sprintf("port %s (%s)", screen.TunnelPort(t), name)
	}
	return "port " + screen.TunnelPort(t)
}
