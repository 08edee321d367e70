package top

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/seed96252745/relay/cmd/relay/screen"
)

// place is what is looked at: all tunnels, or the users of one tunnel, or of all.
type place struct {
	users  bool
	tunnel string // an ID, or "" for all
}

// model is the state of the screen.
type model struct {
	ctx     context.Context
	node    Node
	explain func(error) error

	width, height int

	now   snapshot
	rates rates
	since snapshot // where the next rates begin
	asked bool     // the node has answered once
	err   error    // of the last poll

	place    place
	sort     map[bool]order // by place.users
	selected string         // ID of a tunnel, or of a user
	row      int            // where that was
	offset   int            // of the first row that is shown
	search   string
	typing   bool // the search
	help     bool
	question *question
	note     string // what became of the last act
}

// Init begins to ask the node.
func (m *model) Init() tea.Cmd { return m.poll() }

// Update takes an event of the terminal, or an answer of the node.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case polled:
		m.take(msg)
		return m, tea.Tick(pollEvery, func(time.Time) tea.Msg { return tick{} })
	case tick:
		return m, m.poll()
	case looked:
		m.take(msg.polled)
	case acted:
		m.note = msg.note
		if msg.err != nil {
			m.note = m.explain(msg.err).Error()
		}
	case tea.PasteMsg:
		if m.typing {
			m.search += screen.Clean(msg.Content)
		}
	case tea.KeyPressMsg:
		return m, m.key(msg)
	}
	return m, nil
}

// take takes an answer of the node.
func (m *model) take(p polled) {
	m.err = p.err
	if p.err != nil || p.of != m.place { // the latter was asked before somebody went elsewhere
		return
	}
	if r, ok := ratesBetween(&m.since, &p.snapshot); ok {
		m.rates, m.since = r, p.snapshot
	}
	m.now, m.asked = p.snapshot, true
}

// looked is the answer to a poll beside the regular ones.
type looked struct{ polled }

// look goes to another place, and asks the node for it at once.
func (m *model) look(at place) tea.Cmd {
	m.place, m.selected, m.row, m.offset, m.search = at, "", 0, 0, ""
	m.now.users = nil
	poll := m.poll()
	return func() tea.Msg { return looked{poll().(polled)} }
}
