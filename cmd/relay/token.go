package main

import (
	"strings"

	"github.com/spf13/cobra"
)

const (
	rightTokenNew   = "to make a token:     relay token new --name db1"
	rightTokenCheck = "to check a file:     relay token check <file>"
	rightToken      = rightTokenNew + "\n" + rightTokenCheck + "\nmore:                relay token --help"
)

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make and check the tokens that say who may use a relay",
		Long: `A relay's tokens file says who may use it, in the manner of authorized_keys: one
line for each, with a name, the hash of a secret and what its owner may do.

The file has to be its owner's alone (chmod 600).`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(rightToken, "token: there is no command %q", strings.Join(args, " "))
			}
			return usagef(rightToken, "token: new or check is missing")
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return explainFlag(err, rightToken, tokenExamples())
	})
	cmd.AddCommand(newTokenNewCommand(), newTokenCheckCommand())
	return cmd
}
