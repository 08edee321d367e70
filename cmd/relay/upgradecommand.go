package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/internal/api"
)

func newUpgradeCommand() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Have a new process of a relay take over, without losing a user",
		Long: `Has a relay of this machine start the program that is at its path now, with the same
arguments, and hand everything over to it: ports, leases, and relay clients, which
register with the new process. Users who are joined stay with the old process, which
ends with the last of them, or after --upgradeDrain. It waits until the new process
serves.

The exit status is 0 if it does. It is 1 if the new process cannot start, or does not
get ready: the old one goes on as if nothing had been. Linux only.`,
		Example: "  relay upgrade\n  relay upgrade --stateDir=/var/lib/relay",
		Args:    takes(0, "all there is:   relay upgrade", "upgrade has flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return upgradeProcess(cmd.Context(), cmd.OutOrStdout(), &admin)
		},
	}
	cmd.Flags().SortFlags = false
	seesAdmin(cmd, &admin, "to have a new process take over:   relay upgrade")
	return cmd
}

func upgradeProcess(ctx context.Context, out io.Writer, admin *adminFlags) error {
	p, err := admin.one("upgrade")
	if err != nil {
		return err
	}
	if p.socket.Kind == api.Forwarder {
		return fmt.Errorf("%s is no relay: start it again, and it lets its users finish, for --drain at most", p)
	}
	done, err := p.Upgrade(ctx)
	if err != nil {
		return p.explain(err)
	}
	fmt.Fprintf(out, "%s is process %d now, in place of process %d\n", p, done.PID, done.OldPID)
	fmt.Fprintf(out, "relay clients: %d come to the new process, %d cannot be told and stay with the old one\n", done.Told, done.Untold)
	until := "for as long as it takes"
	if done.DrainSeconds > 0 {
		until = "for " + (time.Duration(done.DrainSeconds) * time.Second).String() + " at most"
	}
	fmt.Fprintf(out, "users: %d stay with the old process, %s\n", done.Users, until)
	return nil
}
