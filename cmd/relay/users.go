package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
)

const rightUsers = "to see all users:   relay users\nof one tunnel:      relay users 20001"

// usersFlags say which users are shown.
type usersFlags struct {
	admin adminFlags
	limit int
	sort  string
	json  bool
}

// usersOf is the users of one process.
type usersOf struct {
	Socket string     `json:"socket,omitempty"`
	URL    string     `json:"url,omitempty"`
	Users  []api.User `json:"users"`

	tunnels []api.Tunnel
	kind    string
	now     time.Time
	total   int
}

func newUsersCommand() *cobra.Command {
	var f usersFlags
	cmd := &cobra.Command{
		Use:   "users [tunnel]",
		Short: "See who is connected now, since when, and how much went through",
		Long: `Shows the users who are joined with their servers: of all tunnels, or of the one
with that port or name. The ID is for relay kick.`,
		Example: "  relay users\n  relay users 20001 --sort=sent\n  relay users web --json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef(rightUsers, "%s; users has one at most, the port or the name of a tunnel", argumentsGiven(len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), strings.Join(args, ""))
		},
		ValidArgsFunction: completeTunnels(&f.admin),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&f.sort, "sort", "since", "what comes first: since (the oldest), received or sent (the most)")
	cmd.Flags().IntVar(&f.limit, "limit", 1000, "how many users to show, of each process")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: a list, with an object for each process")
	seesAdmin(cmd, &f.admin, rightUsers)
	return cmd
}

// maxListed is how many users are asked for where the largest of them are looked for.
const maxListed = 10_000 // more are not given

func (f *usersFlags) run(ctx context.Context, out io.Writer, tunnel string) error {
	if f.limit < 1 {
		return usagef("for example:   --limit=100", "--limit=%d: it has to be 1 or more", f.limit)
	}
	order, err := userOrder(f.sort)
	if err != nil {
		return err
	}
	processes, err := f.admin.find()
	if err != nil {
		return err
	}
	var found []usersOf
	for _, p := range processes {
		of, known, err := listUsers(ctx, p, tunnel)
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		slices.SortStableFunc(of.Users, order)
		of.total = max(of.total, len(of.Users))
		of.Users = of.Users[:min(f.limit, len(of.Users))]
		found = append(found, of)
	}
	if len(found) == 0 {
		return unknownTunnel(tunnel)
	}
	if f.json {
		return printJSON(out, found)
	}
	s := screen.On(out)
	for i, of := range found {
		if i > 0 {
			fmt.Fprint(s, "\n")
		}
		of.show(s, len(found) > 1)
	}
	return nil
}

func userOrder(by string) (func(a, b api.User) int, error) {
	switch strings.ToLower(by) {
	case "since":
		return func(a, b api.User) int { return a.Since.Compare(b.Since) }, nil
	case "received":
		return func(a, b api.User) int { return cmp.Compare(b.Received, a.Received) }, nil
	case "sent":
		return func(a, b api.User) int { return cmp.Compare(b.Sent, a.Sent) }, nil
	}
	return nil, usagef("one of:   --sort=since, --sort=received, --sort=sent", "--sort: there is no order %+.40q", by)
}

// listUsers returns the users of a process, of one tunnel or of all if tunnel is empty, and
// reports whether it has that tunnel.
func listUsers(ctx context.Context, p instance, tunnel string) (of usersOf, known bool, err error) {
	n, err := see(ctx, p)
	if err != nil {
		return of, false, err
	}
	of = usersOf{Socket: n.Socket, URL: n.URL, Users: []api.User{}, tunnels: n.Tunnels, kind: n.Status.Kind, now: n.Status.Now}
	ids, total := []string{""}, n.Status.Users
	if tunnel != "" {
		ids, total = nil, 0
		for _, t := range matching(n.Tunnels, tunnel) {
			ids = append(ids, t.ID)
			total += t.Users
		}
	}
	for _, id := range ids {
		users, err := p.Users(ctx, id, maxListed)
		if err != nil {
			return of, false, p.explain(err)
		}
		of.Users = append(of.Users, users...)
		if len(users) == maxListed {
			of.total = total
		}
	}
	return of, len(ids) > 0, nil
}

// matching returns the tunnels that an argument means: by port, by ID, by name, or by service. One
// without a name is shown under that of its owner.
func matching(tunnels []api.Tunnel, arg string) (found []api.Tunnel) {
	for _, t := range tunnels {
		if arg == strconv.Itoa(t.Port) || arg == t.ID || arg == cmp.Or(t.Name, t.Identity) || t.Service != "" && arg == t.Service {
			found = append(found, t)
		}
	}
	return found
}

func unknownTunnel(arg string) error {
	return fmt.Errorf("there is no tunnel %+.60q: give a port or a name that relay status shows", arg)
}

// show writes the users as a table.
func (of *usersOf) show(s screen.Screen, whose bool) {
	if whose {
		fmt.Fprint(s, s.Paint(screen.Bold, cmp.Or(of.Socket, of.URL))+"\n")
	}
	if len(of.Users) == 0 {
		fmt.Fprint(s, "There are no users.\n")
		return
	}
	table := &screen.Table{Columns: []screen.Column{
		{Title: "ID"}, {Title: "PORT", Right: true}, {Title: "NAME", Min: 6, Optional: 1}, {Title: "ADDRESS", Min: 21},
		{Title: "FOR", Right: true}, {Title: "RECEIVED", Right: true}, {Title: "SENT", Right: true},
	}}
	byID := make(map[string]api.Tunnel, len(of.tunnels))
	for _, t := range of.tunnels {
		byID[t.ID] = t
	}
	for _, u := range of.Users {
		t := byID[u.Tunnel]
		table.Add(screen.Clean(u.ID), screen.TunnelPort(t), screen.Name(t), screen.Clean(u.Address),
			screen.Since(u.Since, of.now), screen.Bytes(u.Received), screen.Bytes(u.Sent))
	}
	fmt.Fprint(s, strings.Join(table.Lines(s), "\n")+"\n")
	left := of.total - len(of.Users)
	switch {
	case left <= 0:
	case of.total > maxListed:
		fmt.Fprintf(s, "and %s more: of each process the %s oldest are looked at, relay users <port> has those of one tunnel\n", screen.Count(int64(left)), screen.Count(maxListed))
	default:
		fmt.Fprintf(s, "and %s more: --limit=%d\n", screen.Count(int64(left)), of.total)
	}
}

// completeTunnels has shells complete ports and names of tunnels.
func completeTunnels(admin *adminFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		processes, err := admin.find()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), reachWait)
		defer cancel()
		var words []string
		for _, p := range processes {
			tunnels, _ := p.Tunnels(ctx) // without an answer there is nothing to complete
			for _, t := range tunnels {
				words = append(words, screen.TunnelPort(t)+"\t"+screen.Name(t))
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
