package top

import (
	"context"
	"fmt"

	tea "charm.land/bubbletea/v2"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
)

// question is what a person is asked before something is done.
type question struct {
	text string
	do   func(ctx context.Context) error
	done string // what it says afterwards
}

// acted is what became of an act.
type acted struct {
	note string
	err  error
}

// ask asks whether to end the user, or the tunnel, that is selected. That is what the
// question names, wherever its row goes meanwhile.
func (m *model) ask() {
	id := m.selection()
	if id == "" {
		return
	}
	if m.place.users {
		u, ok := m.user(id)
		if !ok {
			return
		}
		m.question = &question{
			text: fmt.Sprintf("Reset the connection of %s (%s)?", screen.Clean(u.Address), screen.Clean(id)),
			do:   func(ctx context.Context) error { return m.node.EndUser(ctx, id) },
			done: fmt.Sprintf("%s was reset", screen.Clean(u.Address)),
		}
		return
	}
	t := m.tunnel(id)
	m.question = &question{
		text: fmt.Sprintf("End the tunnel at %s, with %s?", tunnelLabel(t), people(t.Users)),
		do:   func(ctx context.Context) error { return m.node.CloseTunnel(ctx, id) },
		done: fmt.Sprintf("the tunnel at %s has ended", tunnelLabel(t)),
	}
}

// askPause asks whether to pause the tunnel that is selected, or to resume it.
func (m *model) askPause() {
	id := m.selection()
	if m.place.users {
		id = m.place.tunnel
	}
	if id == "" {
		return
	}
	t := m.tunnel(id)
	if t.State == api.Paused {
		m.question = &question{
			text: fmt.Sprintf("Have the tunnel at %s take users again?", tunnelLabel(t)),
			do:   func(ctx context.Context) error { return m.node.Resume(ctx, id) },
			done: fmt.Sprintf("the tunnel at %s takes users again", tunnelLabel(t)),
		}
		return
	}
	m.question = &question{
		text: fmt.Sprintf("Have the tunnel at %s take no new users?", tunnelLabel(t)),
		do:   func(ctx context.Context) error { return m.node.Pause(ctx, id) },
		done: fmt.Sprintf("the tunnel at %s takes no new users", tunnelLabel(t)),
	}
}

// answer takes the key that answers the question: y does it, and any other does not.
func (m *model) answer(key string) tea.Cmd {
	q := m.question
	m.question = nil
	if key != "y" && key != "Y" {
		m.note = "nothing was done"
		return nil
	}
	ctx := m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, pollWait)
		defer cancel()
		return acted{note: q.done, err: q.do(ctx)}
	}
}

func people(n int) string {
	if n == 1 {
		return "1 user"
	}
	return screen.Count(int64(n)) + " users"
}
