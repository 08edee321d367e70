package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newReloadCommand() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a process load its file again, and see what is wrong with it",
		Long: `Has a relay or a forwarder of this machine load the file of --config again, with all
that the file names. It waits until that is in force. Users and tunnels that the
changes do not concern go on.

The exit status is 0 if the file is in force. It is 1 if the file has a fault: the
faults are listed with their lines, and what was in force before stays so.`,
		Example: "  relay reload\n  relay reload --stateDir=/var/lib/relay",
		Args:    takes(0, "all there is:   relay reload", "reload has flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return reloadProcess(cmd.Context(), cmd.OutOrStdout(), &admin)
		},
	}
	cmd.Flags().SortFlags = false
	seesAdmin(cmd, &admin, "to load the file again:   relay reload")
	return cmd
}

func reloadProcess(ctx context.Context, out io.Writer, admin *adminFlags) error {
	p, err := admin.one("reload")
	if err != nil {
		return err
	}
	if err := p.Reload(ctx); err != nil {
		return p.explain(err)
	}
	s, err := p.Status(ctx)
	switch {
	case err != nil:
		return p.explain(err)
	case s.Config == nil:
		fmt.Fprintf(out, "%s has read its tokens again\n", p)
	default:
		fmt.Fprintf(out, "%s has loaded %s\n", p, s.Config.File)
	}
	return nil
}
