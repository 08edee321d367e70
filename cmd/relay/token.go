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
		Long: `A relay's tokens file says who may use the relay. Like authorized_keys it has one
line for each token: a name, the hash of a secret, and what its owner may do.

Only the owner of the file may have access to it (chmod 600).`,
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
