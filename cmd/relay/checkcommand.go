package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/internal/config"
)

const rightCheck = "for example:   relay check relay.toml"

func newCheckCommand() *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use:   "check <file>",
		Short: "Check a configuration file, and do no more",
		Long: `Checks a configuration file, and says in one line what relay --config would run.
A file that is wrong is told all of its faults at once, each with its line.

Files that it names, such as those with tokens, are not looked for.

Exit status: 0 for a file that is right, 2 for one that is not.`,
		Example: "  relay check relay.toml\n  relay check --schema >relay.schema.json",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case schema && len(args) > 0:
				return usagef("all there is:   relay check --schema", "%s; --schema has none", argumentsGiven(len(args)))
			case !schema && len(args) != 1:
				return usagef(rightCheck, "%s; check has one, the file", argumentsGiven(len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if schema {
				return printSchema(cmd.OutOrStdout())
			}
			return check(cmd.OutOrStdout(), args[0])
		},
		ValidArgsFunction: cobra.FixedCompletions([]string{"toml"}, cobra.ShellCompDirectiveFilterFileExt),
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return explainFlag(err, rightCheck, nil) })
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of the file, for editors")
	return cmd
}

func printSchema(out io.Writer) error {
	text, err := config.Schema()
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

func check(out io.Writer, path string) error {
	var f flags
	f.define()
	s, err := f.loadSetup(path, nil)
	var usage *usageError
	if errors.As(err, &usage) {
		return &usageError{wrong: strings.TrimPrefix(usage.wrong, "--config: "), right: usage.right}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: %s\n", path, s)
	return err
}

// String returns what the file runs, in a line.
func (s *setup) String() string {
	var parts []string
	if s.relay != nil {
		parts = append(parts, fmt.Sprintf("a relay at port %d", s.relay.port))
	}
	if len(s.services) > 0 {
		var names []string
		for _, service := range s.services {
			names = append(names, service.name)
		}
		parts = append(parts, fmt.Sprintf("%s through %s: %s", count(len(names), "service"), s.services[0].relay, strings.Join(names, ", ")))
	}
	return strings.Join(parts, ", and ")
}
