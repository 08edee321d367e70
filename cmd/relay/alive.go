package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// aliveWait is how long a process may take to say that it is there. One that works answers in
// milliseconds, also under load.
const aliveWait = 5 * time.Second

func newAliveCommand() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{
		Use:   "alive",
		Short: "See whether a relay or a forwarder answers, and no more: for health checks",
		Long: `Asks each relay and each forwarder of this machine, or of this container, whether it
is there. It does not look at how well it does: a program that starts containers again
must not do so because a local server is away. relay status has that.

The exit status is 0 if all answer within 5 seconds, and 1 if one does not or nothing runs.`,
		Example: "  relay alive\n  relay alive --stateDir=/var/lib/relay",
		Args:    takes(0, "all there is:   relay alive", "alive has flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return alive(cmd.Context(), cmd.OutOrStdout(), &admin)
		},
	}
	cmd.Flags().SortFlags = false
	seesAdmin(cmd, &admin, "to see whether it answers:   relay alive")
	return cmd
}

func alive(ctx context.Context, out io.Writer, admin *adminFlags) (wrong error) {
	processes, err := admin.find()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, aliveWait)
	defer cancel()
	for _, p := range processes {
		if _, err := p.Status(ctx); err != nil {
			wrong = errors.Join(wrong, p.explain(err))
			continue
		}
		fmt.Fprintf(out, "%s answers\n", p)
	}
	return wrong
}
