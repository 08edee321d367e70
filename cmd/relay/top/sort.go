package top

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
)

// order is by which column rows are sorted.
type order struct {
	column   int
	reversed bool
}

func defaultSort() map[bool]order { return map[bool]order{} }

// column is a column of the table, and how rows are sorted by it: numbers with the largest
// first.
type column[T any] struct {
	screen.Column
	cell    func(T) screen.Cell
	compare func(a, b T) int
}

// sorted returns the rows in that order. Equal ones keep theirs.
func sorted[T any](rows []T, by order, columns []column[T]) []T {
	rows = slices.Clone(rows)
	compare := columns[by.column].compare
	slices.SortStableFunc(rows, func(a, b T) int {
		if by.reversed {
			a, b = b, a
		}
		return compare(a, b)
	})
	return rows
}

// descending compares numbers, the largest first.
func descending[T any, N cmp.Ordered](of func(T) N) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(of(b), of(a)) }
}

func ascending[T any, N cmp.Ordered](of func(T) N) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(of(a), of(b)) }
}

// shownTunnels returns the tunnels that the search finds, in order.
func (m *model) shownTunnels() []api.Tunnel {
	found := slices.DeleteFunc(slices.Clone(m.now.tunnels), func(t api.Tunnel) bool {
		return !m.finds(screen.TunnelPort(t), t.Service, t.Name, t.Identity, string(t.State), t.Protocol, t.RelayClient, t.Local, t.Public)
	})
	return sorted(found, m.sort[false], m.tunnelColumns())
}

// shownUsers returns the users that the search finds, in order.
func (m *model) shownUsers() []api.User {
	found := slices.DeleteFunc(slices.Clone(m.now.users), func(u api.User) bool {
		t := m.tunnel(u.Tunnel)
		return !m.finds(u.ID, u.Address, screen.TunnelPort(t), t.Service, t.Name, t.Identity)
	})
	return sorted(found, m.sort[true], m.userColumns())
}

// finds reports whether one of the texts has what is searched for.
func (m *model) finds(texts ...string) bool {
	want := strings.ToLower(m.search)
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(screen.Clean(text)), want)
	})
}

// tunnel returns the tunnel with an ID.
func (m *model) tunnel(id string) api.Tunnel {
	i := slices.IndexFunc(m.now.tunnels, func(t api.Tunnel) bool { return t.ID == id })
	if i < 0 {
		return api.Tunnel{ID: id}
	}
	return m.now.tunnels[i]
}
