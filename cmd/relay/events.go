package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/api/client"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
)

const rightLog = "what happens from now on:   relay log --follow\nwhat has happened:          relay log"

// logFlags say which events are shown.
type logFlags struct {
	admin                  adminFlags
	follow, recent, json   bool
	events                 []string
	tunnel, identity, user string
	lines                  int
}

func newLogCommand() *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "log",
		Short: "See what happens, or the last connections and requests that have ended",
		Long: `Shows the last connections that are over and the last requests that were refused, the
latest at the end. With --follow it shows each event from now on, until Ctrl-C: the lines
that the log has, at every level.

Names of events and values of fields are those of the log.`,
		Example: "  relay log --follow\n  relay log --follow --event=user_done,user_reset --tunnel=20001\n  relay log --user=192.0.2.0/24 --json",
		Args:    takes(0, rightLog, "log has flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "show each event from now on")
	cmd.Flags().BoolVar(&f.recent, "recent", false, "with --follow, begin with those that are kept: the last thousand")
	cmd.Flags().StringSliceVar(&f.events, "event", nil, "events with these names alone, such as user_done")
	cmd.Flags().StringVar(&f.tunnel, "tunnel", "", "events of the tunnel with this port or name")
	cmd.Flags().StringVar(&f.identity, "identity", "", "events of tunnels of this identity, which is the name of a token")
	cmd.Flags().StringVar(&f.user, "user", "", "events of users from this address or network")
	cmd.Flags().IntVar(&f.lines, "lines", 50, "how many lines to show, without --follow")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON: an object on each line")
	seesAdmin(cmd, &f.admin, rightLog)
	for flag, complete := range map[string]cobra.CompletionFunc{
		"event":  cobra.FixedCompletions(eventNames(), cobra.ShellCompDirectiveNoFileComp),
		"tunnel": completeTunnels(&f.admin),
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // the flag's name above is wrong
		}
	}
	return cmd
}

func eventNames() []string {
	var names []string
	for _, name := range observe.Names() {
		names = append(names, string(name))
	}
	return names
}

func (f *logFlags) run(cmd *cobra.Command) error {
	match, err := f.matcher()
	if err != nil {
		return err
	}
	if f.follow && cmd.Flags().Changed("lines") {
		return usagef(rightLog, "--lines is for what has happened, and --follow shows what happens from now on")
	}
	if f.recent && !f.follow {
		return usagef(rightLog, "--recent is for --follow; without that, --lines says how many are shown")
	}
	if f.lines < 1 {
		return usagef("for example:   --lines=100", "--lines=%d: it has to be 1 or more", f.lines)
	}
	p, err := f.admin.one("log")
	if err != nil {
		return err
	}
	s := screen.On(cmd.OutOrStdout())
	show := func(e api.Event) error { return showEvent(s, e) }
	if f.json {
		encoder := json.NewEncoder(s)
		show = func(e api.Event) error { return encoder.Encode(e) }
	}
	if f.follow {
		return followEvents(cmd.Context(), p, client.Filter{Events: f.events, Identity: f.identity, Kept: f.recent}, match, show)
	}
	found, err := f.past(cmd.Context(), p, match)
	if err != nil {
		return err
	}
	for _, e := range found {
		if err := show(e); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		_, err = fmt.Fprintln(cmd.ErrOrStderr(), "No such connection has ended yet, and no such request was refused.\n"+rightLog)
	}
	return err
}

// matcher returns a function that reports whether an event is one that the flags ask for.
func (f *logFlags) matcher() (func(api.Event) bool, error) {
	for _, name := range f.events {
		if name != api.EventsDropped && !slices.Contains(eventNames(), name) {
			return nil, usagef("one of:   "+strings.Join(eventNames(), ", "), "--event: there is no event %+.40q", name)
		}
	}
	var networks []netip.Prefix
	if f.user != "" {
		var err error
		if networks, err = policy.ParseNetworks(f.user); err != nil {
			return nil, usagef("for example:   --user=192.0.2.7, --user=192.0.2.0/24", "--user: %v", err)
		}
	}
	return func(e api.Event) bool {
		if e.Event == api.EventsDropped {
			return true // it may have been one of those
		}
		return (len(f.events) == 0 || slices.Contains(f.events, e.Event)) &&
			(f.tunnel == "" || f.tunnel == fieldText(e, "port") || f.tunnel == cmp.Or(fieldText(e, "name"), fieldText(e, "identity"))) &&
			(f.identity == "" || f.identity == fieldText(e, "identity")) &&
			(networks == nil || isFrom(networks, e))
	}, nil
}

// isFrom reports whether the user of an event, or its source, is in one of the networks.
func isFrom(networks []netip.Prefix, e api.Event) bool {
	addr, err := netip.ParseAddrPort(fieldText(e, "user"))
	if err != nil {
		return false
	}
	ip := addr.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// followEvents shows what happens until ctx is done, or the process ends.
func followEvents(ctx context.Context, p instance, filter client.Filter, match func(api.Event) bool, show func(api.Event) error) error {
	for e, err := range p.Events(ctx, filter) {
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s has ended", p)
		case err != nil:
			return p.explain(err)
		case !match(e):
			continue
		}
		if err := show(e); err != nil {
			return err // nobody reads
		}
	}
	return nil
}

// past returns the last ends and refusals, the latest at the end.
func (f *logFlags) past(ctx context.Context, p instance, match func(api.Event) bool) ([]api.Event, error) {
	const most = 10_000 // are kept
	ended, err := p.Ended(ctx, "", most)
	if err != nil {
		return nil, p.explain(err)
	}
	refusals, err := p.Refusals(ctx, most)
	if err != nil {
		return nil, p.explain(err)
	}
	var found []api.Event
	for _, e := range ended {
		found = append(found, endedEvent(e))
	}
	for _, r := range refusals {
		found = append(found, refusalEvent(r))
	}
	found = slices.DeleteFunc(found, func(e api.Event) bool { return !match(e) })
	slices.SortStableFunc(found, func(a, b api.Event) int { return a.At.Compare(b.At) })
	return found[max(0, len(found)-f.lines):], nil
}
