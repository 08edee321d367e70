package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/port"
)

// relayPort reads the relay's only argument. Other arguments may be meant for a command or
// for the forwarder: the error has a hint for those.
func relayPort(cmd *cobra.Command, args []string) (int, error) {
	if len(args) == 0 && cmd.Flags().NFlag() == 0 {
		return 0, errNothingGiven
	}
	if len(args) == 0 {
		return 0, usagef(rightBoth, "no port is given%s", whereThePortIs(cmd.Flags()))
	}
	number, err := parsePort(args[0], "port of the relay", rightBoth)
	if err != nil {
		if strings.HasSuffix(args[0], ".toml") && len(args) == 1 {
			return 0, usagef("to run what it says:   relay --config "+quoteArg(args[0])+"\nto check it:           relay check "+quoteArg(args[0]), "a file is given, and no port")
		}
		if right, ok := meantBind(args); ok {
			return 0, usagef(right, "the relay's argument is a port alone; --bind says at which address it listens, and without it that is everywhere")
		}
		if right, ok := meantForwarder(args); ok {
			return 0, usagef(right, "a host and a port are given, but no server to put online")
		}
		if similar := similarCommand(cmd, args[0]); similar != "" {
			return 0, usagef("did you mean:   relay "+similar, "there is no command %+.40q", args[0])
		}
	}
	switch {
	case len(args) == 1:
		return number, err
	case len(args) == 2 && err != nil:
		return 0, usagef(rightBoth, "%+.40q is no command, and %+.40q no port", args[0], args[1])
	}
	return 0, usagef(rightBoth, "%s; the relay has one, its port", argumentsGiven(len(args)))
}

// errNothingGiven is the error of the command alone, without arguments and flags.
var errNothingGiven = usagef(rightBoth, "no port is given")

// argumentsGiven returns a sentence with the number of arguments.
func argumentsGiven(n int) string {
	if n == 1 {
		return "1 argument is given"
	}
	return fmt.Sprintf("%d arguments are given", n)
}

// takes refuses another number of arguments than n; what says what a command has.
func takes(n int, right, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef(right, "%s; %s", argumentsGiven(len(args)), what)
		}
		return nil
	}
}

// whereThePortIs returns which flag has taken the missing port for its value, as in
// relay --tokens 8080, if any has. Flags whose values are numbers do not count.
func whereThePortIs(fs *pflag.FlagSet) (where string) {
	of := examples()
	fs.Visit(func(flag *pflag.Flag) {
		_, wrong := port.Parse(flag.Value.String())
		_, noNumber := port.Parse(of[flag.Name])
		if where == "" && wrong == nil && noNumber != nil {
			where = fmt.Sprintf(": %s was taken for the value of --%s", flag.Value, flag.Name)
		}
	})
	return where
}

// meantBind returns the relay's command line for an argument such as :8080, which tells
// other programs to listen everywhere.
func meantBind(args []string) (right string, ok bool) {
	host, number, err := net.SplitHostPort(args[0])
	if _, wrong := port.Parse(number); len(args) > 1 || err != nil || wrong != nil {
		return "", false
	}
	addr, err := netip.ParseAddr(host)
	return "to run a relay:   relay " + number, host == "" || host == "*" || err == nil && addr.IsUnspecified()
}

// meantForwarder returns the forwarder's command line if args are a host and a port, apart
// or in one word.
func meantForwarder(args []string) (right string, ok bool) {
	line := func(host, port string) string {
		return fmt.Sprintf("to put a server online:   relay --localForwardPort=<its port> %s %s", host, port)
	}
	err := checkHost(args[0])
	if len(args) == 2 {
		if _, wrong := port.Parse(args[1]); wrong != nil {
			return "", false
		}
		if err == nil {
			return line(args[0], args[1]), true
		}
		return rightHost(err, args[1], rightForwarder, line), true
	}
	var e *notHost
	if len(args) == 1 && errors.As(err, &e) && e.port != "" {
		return rightHost(err, e.port, rightForwarder, line), true
	}
	return "", false
}

// similarCommand returns a command that differs from typed in two letters at most, or that
// begins with it. One letter begins too many.
func similarCommand(cmd *cobra.Command, typed string) string {
	cmd.SuggestionsMinimumDistance = 2
	if similar := cmd.SuggestionsFor(typed); len(typed) > 1 && len(similar) > 0 {
		return similar[0]
	}
	return ""
}

// parsePort reads a port from the command line; what is what it is for.
func parsePort(text, what, right string) (int, error) {
	port, err := port.Parse(strings.TrimSpace(text))
	if err != nil {
		return 0, usagef(right, "%s: %v", what, err)
	}
	return port, nil
}

// refuseArguments makes wrong arguments of the library's own commands a usage error. The
// library itself reports them like any other error, or shows the help.
func refuseArguments(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			refuseShells(cmd)
		case "help":
			cmd.Args = checkHelp
		}
	}
}

// checkHelp refuses help with a command that does not exist.
func checkHelp(help *cobra.Command, args []string) error {
	_, rest, err := help.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return usagef("one of:   "+strings.Join(commandNames(help.Root()), ", "), "help: there is no command %+.40q", strings.Join(args, " "))
	}
	return nil
}

func commandNames(root *cobra.Command) (names []string) {
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() {
			names = append(names, cmd.CommandPath())
		}
	}
	return names
}

// refuseShells is refuseArguments for completion, whose commands are shells.
func refuseShells(completion *cobra.Command) {
	completion.Args = cobra.ArbitraryArgs
	completion.RunE = func(_ *cobra.Command, args []string) error {
		return usagef("one of:   relay completion bash, zsh, fish, powershell", "completion: there is no shell %q", strings.Join(args, " "))
	}
	for _, shell := range completion.Commands() {
		shell.Args = takes(0, "all there is:   "+shell.CommandPath(), shell.CommandPath()+" has none")
	}
}
