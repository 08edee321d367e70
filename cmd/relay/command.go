package main

import (
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed96252745/relay"
)

// flags are the values of all flags, as given.
type flags struct {
	protocol         string
	localForwardPort string
	localForwardHost string
	poolSize         int
	bind             string
	ports            string
	drain            time.Duration
	logLevel         string
	logFormat        string
}

const (
	rightRelay     = "to run a relay:           relay 8080"
	rightForwarder = "to put a server online:   relay --localForwardPort=6379 relay.example.com 8080"
	rightBoth      = rightRelay + "\n" + rightForwarder + "\nmore:                     relay --help"
)

func newRootCommand(stderr io.Writer) *cobra.Command {
	var f flags
	root := &cobra.Command{
		Use:   "relay <localport>\n  relay --localForwardPort=<port> <host> <port>",
		Short: "Relay puts servers online that cannot be reached",
		Long: `Relay puts servers online that cannot be reached.

A relay runs on a machine that everybody can reach. Beside a server that nobody
can reach, behind NAT or a firewall, runs a forwarder; it connects out to the
relay, which opens a public port for it and joins whoever comes there to the
server, byte for byte.`,
		Example: `  Run a relay whose control port is 8080:
    relay 8080

  Put the Redis on this machine online through it:
    relay --localForwardPort=6379 relay.example.com 8080

  The same with a connection of its own for each user:
    relay --localForwardPort=6379 --protocol=event relay.example.com 8080

  See all of it work in one process, with nothing set up:
    relay demo`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return dispatch(cmd, args, &f, stderr)
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usagef(rightBoth, "%v", err)
	})
	define(root.Flags(), &f)
	root.SetGlobalNormalizationFunc(camelCase)
	completeFlags(root)
	root.AddCommand(newDemoCommand(stderr))
	root.InitDefaultCompletionCmd("")
	refuseArguments(root)
	return root
}

// refuseArguments makes what is wrong with a subcommand's arguments a usage
// error; the library tells it like any other, or shows help as if asked.
func refuseArguments(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.RunE = func(_ *cobra.Command, args []string) error {
			return usagef("one of:   relay completion bash, zsh, fish, powershell", "completion: there is no shell %q", strings.Join(args, " "))
		}
		cmd.Args = cobra.ArbitraryArgs
		for _, shell := range cmd.Commands() {
			shell.Args = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return usagef("all there is:   "+cmd.CommandPath(), "%s has no arguments, and %d are given", cmd.CommandPath(), len(args))
				}
				return nil
			}
		}
	}
}

func define(fs *pflag.FlagSet, f *flags) {
	fs.SortFlags = false
	fs.StringVar(&f.localForwardPort, "localForwardPort", "", "port of the server to put online")
	fs.StringVar(&f.localForwardHost, "localForwardHost", "localhost", "host of the server to put online")
	fs.StringVar(&f.protocol, "protocol", string(relay.Multiplex), "how users come from the relay: multiplex, pool or event")
	fs.IntVar(&f.poolSize, "poolSize", relay.DefaultPoolSize, "connections that wait for users at the relay, with --protocol=pool")
	fs.StringVar(&f.bind, "bind", "", "address of the relay's ports (default all, IPv4 and IPv6)")
	fs.StringVar(&f.ports, "ports", "20000-29999", "public ports that the relay opens")
	fs.DurationVar(&f.drain, "drain", relay.DefaultDrain, "how long connections may go on after SIGTERM or Ctrl-C")
	fs.StringVar(&f.logLevel, "logLevel", "info", "debug, info, warn or error")
	fs.StringVar(&f.logFormat, "logFormat", "", "text or json (default text on a terminal, json otherwise)")
}

// camelCase accepts every flag in kebab-case too.
func camelCase(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	first, rest, _ := strings.Cut(name, "-")
	for word := range strings.SplitSeq(rest, "-") {
		if word != "" {
			first += strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return pflag.NormalizedName(first)
}

// completeFlags tells shells the values of flags that have few.
func completeFlags(cmd *cobra.Command) {
	values := map[string][]string{
		"protocol":  {string(relay.Multiplex), string(relay.Pool), string(relay.Event)},
		"logLevel":  {"debug", "info", "warn", "error"},
		"logFormat": {"text", "json"},
	}
	for flag, of := range values {
		err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(of, cobra.ShellCompDirectiveNoFileComp))
		if err != nil {
			panic(err) // the flag's name above is wrong
		}
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
