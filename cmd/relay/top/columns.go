package top

import (
	"cmp"
	"time"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
)

func plain(text string) screen.Cell { return screen.Cell{Text: text} }

func (m *model) tunnelColumns() []column[api.Tunnel] {
	type t = api.Tunnel
	return []column[t]{
		{
			screen.Column{Title: "PORT", Right: true, Least: 6},
			func(t t) screen.Cell { return screen.Cell{Text: screen.TunnelPort(t), Style: screen.Bold} },
			ascending(func(t t) int { return t.Port }),
		},
		{
			screen.Column{Title: "NAME", Min: 10, Least: 10},
			func(t t) screen.Cell { return plain(screen.Name(t)) },
			ascending(screen.Name),
		},
		{
			screen.Column{Title: "STATE", Min: 17, Least: 17},
			func(t t) screen.Cell { return screen.State(t.State) },
			func(a, b t) int { return cmp.Compare(urgency(a.State), urgency(b.State)) },
		},
		{
			screen.Column{Title: "FOR", Right: true, Least: 6, Optional: 1},
			func(t t) screen.Cell { return plain(screen.Since(t.Since, m.now.status.Now)) },
			descending(func(t t) time.Duration { return m.now.status.Now.Sub(t.Since) }),
		},
		{
			screen.Column{Title: "USERS", Right: true, Least: 6},
			func(t t) screen.Cell { return plain(screen.Count(int64(t.Users))) },
			descending(func(t t) int { return t.Users }),
		},
		{
			screen.Column{Title: "IN", Right: true, Least: 8},
			func(t t) screen.Cell { return plain(screen.Rate(m.rates.tunnels[t.ID].received)) },
			descending(func(t t) float64 { return m.rates.tunnels[t.ID].received }),
		},
		{
			screen.Column{Title: "OUT", Right: true, Least: 8},
			func(t t) screen.Cell { return plain(screen.Rate(m.rates.tunnels[t.ID].sent)) },
			descending(func(t t) float64 { return m.rates.tunnels[t.ID].sent }),
		},
		{
			screen.Column{Title: "TOTAL", Right: true, Least: 7, Optional: 2},
			func(t t) screen.Cell { return plain(screen.Bytes(t.Received + t.Sent)) },
			descending(func(t t) int64 { return t.Received + t.Sent }),
		},
		{
			screen.Column{Title: "ROUND TRIP", Right: true, Optional: 4},
			func(t t) screen.Cell { return plain(roundTrip(t)) },
			descending(func(t t) float64 { return t.RoundTripSeconds }),
		},
		{
			screen.Column{Title: "RELAY CLIENT", Optional: 5},
			func(t t) screen.Cell { return plain(screen.Behind(t)) },
			ascending(screen.Behind),
		},
	}
}

// urgency orders states: the lowest needs somebody.
func urgency(s api.State) int {
	switch s {
	case api.Unreachable, api.Silent, api.LocalServerDown:
		return 0
	case api.Away, api.Paused, api.Connecting:
		return 1
	case api.Up:
		return 3
	}
	return 2
}

func roundTrip(t api.Tunnel) string {
	if t.RoundTripSeconds == 0 {
		return "-"
	}
	return screen.Duration(screen.Seconds(t.RoundTripSeconds))
}

func (m *model) userColumns() []column[api.User] {
	type u = api.User
	return []column[u]{
		{
			screen.Column{Title: "FOR", Right: true, Least: 6},
			func(u u) screen.Cell { return plain(screen.Since(u.Since, m.now.status.Now)) },
			func(a, b u) int { return a.Since.Compare(b.Since) },
		},
		{
			screen.Column{Title: "ID", Least: 6, Optional: 2},
			func(u u) screen.Cell { return plain(screen.Clean(u.ID)) },
			ascending(func(u u) string { return u.ID }),
		},
		{
			screen.Column{Title: "PORT", Right: true, Least: 6},
			func(u u) screen.Cell { return plain(screen.TunnelPort(m.tunnel(u.Tunnel))) },
			ascending(func(u u) int { return m.tunnel(u.Tunnel).Port }),
		},
		{
			screen.Column{Title: "ADDRESS", Min: 15, Least: 21},
			func(u u) screen.Cell { return screen.Cell{Text: screen.Clean(u.Address), Style: screen.Bold} },
			ascending(func(u u) string { return u.Address }),
		},
		{
			screen.Column{Title: "IN", Right: true, Least: 8},
			func(u u) screen.Cell { return plain(screen.Rate(m.rates.users[u.ID].received)) },
			descending(func(u u) float64 { return m.rates.users[u.ID].received }),
		},
		{
			screen.Column{Title: "OUT", Right: true, Least: 8},
			func(u u) screen.Cell { return plain(screen.Rate(m.rates.users[u.ID].sent)) },
			descending(func(u u) float64 { return m.rates.users[u.ID].sent }),
		},
		{
			screen.Column{Title: "TOTAL", Right: true, Least: 7, Optional: 1},
			func(u u) screen.Cell { return plain(screen.Bytes(u.Received + u.Sent)) },
			descending(func(u u) int64 { return u.Received + u.Sent }),
		},
	}
}
