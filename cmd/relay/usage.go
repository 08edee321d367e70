package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// flagGroup is a section of flags in the help.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

func newFlagSet() *pflag.FlagSet {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.SortFlags = false
	return fs
}

// groups returns the flags by who has them.
func (f *flags) groups() []flagGroup {
	return []flagGroup{
		{"Flags of the forwarder", f.ofForwarder},
		{"Flags of the relay", f.ofRelay},
		{"Limits of the relay", f.ofRelayLimits},
		{"Flags of both", f.ofBoth},
	}
}

// showGroups adds the flags of groups to cmd, and has its help show them group by group.
// Flags that the library adds are shown with the last group.
func showGroups(cmd *cobra.Command, groups []flagGroup) {
	cmd.Flags().SortFlags = false
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.flags)
	}
	usual := cmd.UsageFunc()
	cmd.SetUsageFunc(func(of *cobra.Command) error {
		if of != cmd {
			return usual(of)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n  %s <command>\n\nExamples:\n%s\n\nCommands:\n", cmd.Use, cmd.Name(), cmd.Example)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				fmt.Fprintf(&b, "  %-*s  %s\n", cmd.NamePadding(), sub.Name(), sub.Short)
			}
		}
		shown := newFlagSet()
		for _, g := range groups {
			shown.AddFlagSet(g.flags)
		}
		last := groups[len(groups)-1].flags
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if shown.Lookup(flag.Name) == nil {
				last.AddFlag(flag)
			}
		})
		for _, g := range groups {
			fmt.Fprintf(&b, "\n%s:\n%s", g.title, g.flags.FlagUsagesWrapped(columns()))
		}
		fmt.Fprint(&b, exitStatuses)
		fmt.Fprintf(&b, "\nFlags may be written --likeThis or --like-this. More about a command:\n%s <command> --help\n", cmd.Name())
		_, err := fmt.Fprint(of.OutOrStderr(), b.String())
		return err
	})
}

const exitStatuses = `
Exit status:
  0  it ended at a signal
  1  it could not start, or go on
  2  the command line is wrong
  3  the relay refuses what the forwarder asks for, and has never granted it
`

// columns returns the width of the help: 0, which is no bound, if it is not shown on a
// terminal.
func columns() int {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return 0
	}
	return width
}
