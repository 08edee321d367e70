package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/internal/auth"
)

func newTokenCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check <file>",
		Short: "Read a tokens file as the relay would, and show what it says",
		Long: `Reads a tokens file as the relay would, and shows who may do what. If the relay
would refuse the file, it says why and in which line, and exits with status 1.`,
		Example: "  relay token check tokens",
		Args:    takes(1, rightTokenCheck, "token check has one, a tokens file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			tokens, err := auth.Read(args[0])
			if err != nil {
				return err
			}
			return showTokens(cmd.OutOrStdout(), tokens.All(), time.Now())
		},
	}
}

func showTokens(out io.Writer, identities []auth.Identity, now time.Time) error {
	if len(identities) == 0 {
		_, err := fmt.Fprintln(out, "The file has no tokens: nobody may use the relay.")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprint(table, "NAME\tPORTS\tTUNNELS\tUSERS\tUSERS/S\tBYTES/S\tALLOW\tDENY\tEXPIRES\tKEYS\n")
	for _, id := range identities {
		fmt.Fprint(table, id.Name)
		for _, f := range tokenFlags() {
			fmt.Fprintf(table, "\t%s", cmp.Or(id.Get(f.name), "-"))
		}
		if id.Expired(now) {
			fmt.Fprint(table, " (expired)")
		}
		keys := id.Fingerprints()
		if id.HasSecret() {
			keys = append([]string{"secret"}, keys...)
		}
		fmt.Fprintf(table, "\t%s\n", strings.Join(keys, ","))
	}
	return table.Flush()
}
