//go:build man

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// newManCommand returns the command that writes the manual pages of all commands into a folder.
// Only the build for packages has it, and with it what makes pages: go run -tags man ./cmd/relay
// man FOLDER. With SOURCE_DATE_EPOCH two runs write the same.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man <folder>",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			escape(root)
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Relay", Manual: "Relay"}, args[0]); err != nil {
				return fmt.Errorf("the manual pages: %w", err)
			}
			return nil
		},
	}
}

// escape keeps <port> and its like from being taken for HTML. The texts go through Markdown.
func escape(cmd *cobra.Command) {
	literal := strings.NewReplacer("<", `\<`, "*", `\*`, "_", `\_`).Replace
	cmd.Use, cmd.Short, cmd.Long = literal(cmd.Use), literal(cmd.Short), literal(cmd.Long)
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) { flag.Usage = literal(flag.Usage) })
	for _, sub := range cmd.Commands() {
		escape(sub)
	}
}
