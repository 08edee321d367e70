package top

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/seed96252745/relay/internal/api"
)

const (
	// pollEvery is how often the node is asked. Less would not be seen, and an operator
	// who has ended somebody waits for it.
	pollEvery = time.Second
	// pollWait is how long an answer may take.
	pollWait = 10 * time.Second
	// maxUsers bounds the users that are asked for: a screen has less than 100 lines, and
	// those who have come last are beyond it.
	maxUsers = 10_000
	// maxEnds is how many ends a high screen has room for.
	maxEnds = 40
)

// snapshot is what the node said at one moment.
type snapshot struct {
	status  api.Status
	tunnels []api.Tunnel
	users   []api.User // of the tunnel that is looked at
	ended   []api.Ended
}

// polled is the answer to a poll.
type polled struct {
	snapshot
	of  place
	err error
}

type tick struct{}

// poll asks the node for what the place shows.
func (m *model) poll() tea.Cmd {
	ctx, node, at := m.ctx, m.node, m.place
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, pollWait)
		defer cancel()
		p := polled{of: at}
		p.err = p.fill(ctx, node)
		return p
	}
}

func (p *polled) fill(ctx context.Context, node Node) (err error) {
	if p.status, err = node.Status(ctx); err != nil {
		return err
	}
	if p.tunnels, err = node.Tunnels(ctx); err != nil {
		return err
	}
	if p.of.users {
		if p.users, err = node.Users(ctx, p.of.tunnel, maxUsers); err != nil {
			return err
		}
	}
	p.ended, err = node.Ended(ctx, p.of.tunnel, maxEnds)
	return err
}

// rate is bytes for each second.
type rate struct{ received, sent float64 }

// rates are those between two snapshots, by the IDs of tunnels and of users.
type rates struct {
	all     rate
	tunnels map[string]rate
	users   map[string]rate
}

// moved are bytes since the start of something.
type moved struct{ received, sent int64 }

func (s *snapshot) moved() (tunnels, users map[string]moved) {
	tunnels, users = make(map[string]moved, len(s.tunnels)), make(map[string]moved, len(s.users))
	for _, t := range s.tunnels {
		tunnels[t.ID] = moved{t.Received, t.Sent}
	}
	for _, u := range s.users {
		users[u.ID] = moved{u.Received, u.Sent}
	}
	return tunnels, users
}

// leastGap is the least time between two snapshots that rates are computed from: a user who
// goes to another place has the node asked in between.
const leastGap = pollEvery / 2

// ratesBetween returns how much moved from a to b, and reports whether that can be told.
// What is not in both has no rate.
func ratesBetween(a, b *snapshot) (rates, bool) {
	gap := b.status.Now.Sub(a.status.Now)
	if !a.status.Started.Equal(b.status.Started) {
		return rates{}, true // the process has started anew
	}
	if gap < leastGap {
		return rates{}, false
	}
	seconds := gap.Seconds()
	between := func(a, b moved) rate {
		// What has ended may leave a sum.
		return rate{max(0, float64(b.received-a.received)/seconds), max(0, float64(b.sent-a.sent)/seconds)}
	}
	each := func(a, b map[string]moved) map[string]rate {
		found := make(map[string]rate, len(b))
		for id, now := range b {
			if before, ok := a[id]; ok {
				found[id] = between(before, now)
			}
		}
		return found
	}
	oldTunnels, oldUsers := a.moved()
	newTunnels, newUsers := b.moved()
	return rates{
		all:     between(moved{a.status.Received, a.status.Sent}, moved{b.status.Received, b.status.Sent}),
		tunnels: each(oldTunnels, newTunnels),
		users:   each(oldUsers, newUsers),
	}, true
}
