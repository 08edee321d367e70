package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/seed96252745/relay/cmd/relay/top"
)

const rightTop = "to watch:   relay top\nonce:       relay status"

func newTopCommand() *cobra.Command {
	var admin adminFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch tunnels and users live, and end those that you choose",
		Long: `Shows tunnels, users and the last ends on the whole terminal, anew each second.
Arrows select, Enter shows the users of a tunnel, x ends one after a question,
s sorts, / searches, ? shows all keys, and q quits.`,
		Example: "  relay top\n  relay top --stateDir=/var/lib/relay",
		Args:    takes(0, rightTop, "top has flags only"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, inIsFile := cmd.InOrStdin().(*os.File)
			out, outIsFile := cmd.OutOrStdout().(*os.File)
			if !inIsFile || !outIsFile || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
				return usagef("without one:   relay status, relay users, relay log --follow", "top needs a terminal")
			}
			p, err := admin.one("top")
			if err != nil {
				return err
			}
			return top.Run(cmd.Context(), p, p.explain, in, out)
		},
	}
	seesAdmin(cmd, &admin, rightTop)
	cmd.Flags().SortFlags = false
	return cmd
}
