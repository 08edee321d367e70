package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/api/client"
)

const rightKick = "to end a user:      relay kick <ID that relay users shows>\nto end a tunnel:    relay kick 20001"

// kickFlags say what becomes of whom.
type kickFlags struct {
	admin adminFlags
	ban   time.Duration
	yes   bool
}

func newKickCommand() *cobra.Command {
	var f kickFlags
	cmd := &cobra.Command{
		Use:   "kick <user ID | tunnel>",
		Short: "End a user's connection, or a tunnel with all of its users",
		Long: `Resets the connection of the user with that ID, which relay users shows. Or ends the
tunnel with that port or name, its lease and its users; its relay client may
register again. With --ban the source cannot come back for that time: it is served
neither as a user nor as a relay client.`,
		Example: "  relay kick u42\n  relay kick u42 --ban=10m\n  relay kick 20001 --yes",
		Args:    takes(1, rightKick, "kick has one, the ID of a user, or the port or name of a tunnel"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, args[0])
		},
		ValidArgsFunction: completeTunnels(&f.admin),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().DurationVar(&f.ban, "ban", 0, "shut the source out for so long: an IPv4 address, or an IPv6 /64")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "end a tunnel without asking")
	seesAdmin(cmd, &f.admin, rightKick)
	return cmd
}

// target is what an argument of kick means at one process.
type target struct {
	instance instance
	user     *api.User   // or
	tunnel   *api.Tunnel // a tunnel
}

// source returns the address of the user, or of the relay client.
func (t target) source() string {
	if t.user != nil {
		return t.user.Address
	}
	return t.tunnel.RelayClient
}

func (f *kickFlags) run(cmd *cobra.Command, arg string) error {
	if cmd.Flags().Changed("ban") && f.ban < time.Second {
		return usagef("for example:   --ban=10m", "--ban=%s: a ban lasts a second or more", f.ban)
	}
	ctx := cmd.Context()
	t, err := f.find(ctx, arg)
	if err != nil {
		return err
	}
	if t.user == nil {
		if err := f.confirm(cmd, t); err != nil {
			return err
		}
	}
	// The ban comes first: otherwise the source could be back before it.
	if f.ban > 0 {
		source, err := sourceOf(t.source())
		if err != nil {
			return err
		}
		if err := t.instance.Ban(ctx, source, f.ban); err != nil {
			return t.instance.explain(err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is shut out for %s\n", source, screen.Duration(f.ban))
	}
	return t.end(ctx, cmd.OutOrStdout(), f.ban > 0)
}

// end ends the user or the tunnel. One that a ban has ended already is not there any more.
func (t target) end(ctx context.Context, out io.Writer, banned bool) error {
	var err error
	said := ""
	if t.user != nil {
		err = t.instance.EndUser(ctx, t.user.ID)
		said = fmt.Sprintf("user %s from %s was reset", screen.Clean(t.user.ID), screen.Clean(t.user.Address))
	} else {
		err = t.instance.CloseTunnel(ctx, t.tunnel.ID)
		said = fmt.Sprintf("the tunnel at %s has ended, with %s", tunnelLabel(*t.tunnel), users(t.tunnel.Users))
	}
	if banned && isUnknown(err) {
		err = nil
	}
	if err != nil {
		return t.instance.explain(err)
	}
	_, err = fmt.Fprintln(out, said)
	return err
}

// isUnknown reports whether a process says that there is nothing with an ID.
func isUnknown(err error) bool {
	said, ok := errors.AsType[*client.StatusError](err)
	return ok && said.Status == http.StatusNotFound
}

// users returns a number of users in words.
func users(n int) string {
	if n == 1 {
		return "1 user"
	}
	return screen.Count(int64(n)) + " users"
}

// find returns what arg means. It has to be one thing at one process.
func (f *kickFlags) find(ctx context.Context, arg string) (target, error) {
	processes, err := f.admin.find()
	if err != nil {
		return target{}, err
	}
	var found []target
	for _, p := range processes {
		targets, err := targetsAt(ctx, p, arg)
		if err != nil {
			return target{}, err
		}
		found = append(found, targets...)
	}
	all := found
	if len(processes) > 1 {
		found = slices.DeleteFunc(slices.Clone(all), func(t target) bool { return !t.isMeantBy(arg, processes) })
	}
	switch {
	case len(all) == 0:
		return target{}, fmt.Errorf("there is no user and no tunnel %+.60q: relay users shows the IDs, and relay status the ports", arg)
	case len(found) == 0:
		return target{}, several(instancesOf(all), "kick "+quoteArg(arg), "each process has IDs of its own")
	case len(instancesOf(found)) > 1:
		return target{}, several(instancesOf(found), "kick "+quoteArg(arg), "several have "+arg)
	case len(found) > 1:
		return target{}, ambiguous(arg, found)
	}
	return found[0], nil
}

// isMeantBy reports whether arg can mean t where several processes run. Each counts its users
// from u1: an ID whose user has left may be that of somebody else at another process. So it is
// the ID of the only relay, as relay top and relay log show it.
func (t target) isMeantBy(arg string, processes []instance) bool {
	if t.user == nil || t.user.ID != arg {
		return true
	}
	relay, ok := theRelay(processes)
	return ok && relay.socket == t.instance.socket
}

// instancesOf returns the processes that have these targets.
func instancesOf(targets []target) (at []instance) {
	for _, t := range targets {
		if len(at) == 0 || at[len(at)-1] != t.instance {
			at = append(at, t.instance)
		}
	}
	return at
}

func ambiguous(arg string, found []target) error {
	var lines []string
	for _, t := range found {
		line := "relay kick " + screen.TunnelPort(*t.tunnel)
		if t.tunnel.Port == 0 {
			line = "relay kick " + quoteArg(t.tunnel.ID)
		}
		lines = append(lines, line)
	}
	return usagef("one of:   "+strings.Join(lines, ", "), "%d tunnels are called %+.60q", len(found), arg)
}

// targetsAt returns what arg means at one process: tunnels, or else a user.
func targetsAt(ctx context.Context, p instance, arg string) (found []target, err error) {
	tunnels, err := p.Tunnels(ctx)
	if err != nil {
		return nil, p.explain(err)
	}
	for _, t := range matching(tunnels, arg) {
		found = append(found, target{instance: p, tunnel: &t})
	}
	if len(found) > 0 {
		return found, nil
	}
	users, err := p.Users(ctx, "", maxListed)
	if err != nil {
		return nil, p.explain(err)
	}
	for _, u := range users {
		if u.ID == arg || u.Address == arg {
			found = append(found, target{instance: p, user: &u})
		}
	}
	if len(found) == 0 && len(users) == maxListed {
		return nil, fmt.Errorf("%+.60q is none of the %s users that are listed: relay users <port> lists those of one tunnel", arg, screen.Count(maxListed))
	}
	return found, nil
}

// confirm asks a person at a terminal before a tunnel is ended.
func (f *kickFlags) confirm(cmd *cobra.Command, t target) error {
	if f.yes {
		return nil
	}
	in, isFile := cmd.InOrStdin().(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return usagef("to do it:   relay kick "+screen.TunnelPort(*t.tunnel)+" --yes",
			"this ends the tunnel at %s and %s: there is no terminal to ask at", tunnelLabel(*t.tunnel), users(t.tunnel.Users))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "End the tunnel at %s, with %s? [y/N] ", tunnelLabel(*t.tunnel), users(t.tunnel.Users))
	answer, err := readLine(cmd.Context(), in)
	if err != nil {
		fmt.Fprint(cmd.ErrOrStderr(), "\n") // behind the question
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// readLine reads a line that a person types, until ctx is done. The read itself cannot be
// ended: the process does so.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n') // the end is an answer, too: no
		lines <- line
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-ctx.Done():
		return "", errors.New("nothing was done")
	}
}

// sourceOf returns what a ban shuts out for an address: what the relay's limits count by.
func sourceOf(address string) (netip.Prefix, error) {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("--ban: the source is not known: %q is no address", address)
	}
	ip := addr.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	return ip.Prefix(bits)
}
