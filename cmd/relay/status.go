package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/cmd/relay/screen"
	"github.com/seed96252745/relay/internal/api"
)

// errTrouble ends relay status with status 1.
var errTrouble = errors.New("there are problems: they are listed with what to do")

func newStatusCommand() *cobra.Command {
	var admin adminFlags
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "See what a relay or a forwarder does: what is up, since when, who, how much",
		Long: `Shows each relay and each forwarder of this machine on one screen: what is up,
since when, for whom, how much went through, and what is wrong with what to do.

The exit status is 0 if all is well, and 1 if something is wrong or nothing runs.`,
		Example: "  relay status\n  relay status --json | jq '.[].status.users'\n  relay status --stateDir=/var/lib/relay",
		Args:    takes(0, "all there is:   relay status", "status has flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return status(cmd.Context(), cmd.OutOrStdout(), &admin, asJSON, all)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: a list, with an object for each process")
	cmd.Flags().BoolVar(&all, "all", false, "show all tunnels, also if they take more than one screen")
	seesAdmin(cmd, &admin, "to see what runs:   relay status")
	return cmd
}

// seesAdmin gives a command the flags that say which process it asks, and has it explain
// wrong ones.
func seesAdmin(cmd *cobra.Command, admin *adminFlags, right string) {
	admin.define(cmd.Flags())
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return refuseEmpty(cmd, adminExamples()) }
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return explainFlag(err, right+"\nmore:               "+cmd.CommandPath()+" --help", adminExamples())
	})
}

func status(ctx context.Context, out io.Writer, admin *adminFlags, asJSON, all bool) error {
	processes, err := admin.find()
	if err != nil {
		if asJSON && errors.Is(err, errNothingRuns) {
			err = errors.Join(printJSON(out, []seen{}), err)
		}
		return err
	}
	s := screen.On(out)
	found, wrong := make([]seen, 0, len(processes)), error(nil)
	for _, p := range processes {
		n, err := see(ctx, p)
		if err != nil {
			wrong = errors.Join(wrong, err)
			continue
		}
		if len(n.Status.Problems) > 0 && wrong == nil {
			wrong = errTrouble
		}
		if !asJSON {
			if len(found) > 0 {
				fmt.Fprint(s, "\n")
			}
			showStatus(s, n, all)
		}
		found = append(found, n)
	}
	if asJSON {
		if err := printJSON(out, found); err != nil {
			return err
		}
	}
	return wrong
}

// see asks a process how it does.
func see(ctx context.Context, p instance) (n seen, err error) {
	n = seen{Socket: p.socket.Path, URL: p.url}
	if n.Status, err = p.Status(ctx); err != nil {
		return n, p.explain(err)
	}
	n.Tunnels, err = p.Tunnels(ctx)
	if n.Tunnels == nil {
		n.Tunnels = []api.Tunnel{}
	}
	return n, p.explain(err)
}

// printJSON prints a value for programs to read.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
