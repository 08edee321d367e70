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

// flags has the values of all flags.
type flags struct {
	protocol         string
	localForwardPort string
	localForwardHost string
	poolSize         int
	keepTrying       bool
	bind             string
	ports            string
	drain            time.Duration
	logLevel         string
	logFormat        string
	stateDir         string
	tokens           string
	trustedProxies   string
	controlProxies   string
	lease            time.Duration
	tokenLease       time.Duration
	owner            ownerFlags
	tls              tlsFlags
	limits           limitFlags

	// The flags by who has them.
	ofForwarder, ofRelay, ofRelayLimits, ofBoth *pflag.FlagSet
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
relay, which opens a public port for it and joins each user who comes there to the
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
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return refuseEmpty(cmd, examples())
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return dispatch(cmd, args, &f, stderr)
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return explainFlag(err, rightBoth, examples())
	})
	f.define()
	showGroups(root, f.groups())
	root.SetGlobalNormalizationFunc(camelCase)
	completeFlags(root)
	root.AddCommand(newDemoCommand(stderr))
	root.AddCommand(newTokenCommand())
	root.InitDefaultCompletionCmd("")
	root.InitDefaultHelpCmd()
	refuseArguments(root)
	refuseTwice(root)
	return root
}

// define defines the flags, each in the set of who has it.
func (f *flags) define() {
	f.ofForwarder, f.ofRelay, f.ofRelayLimits, f.ofBoth = newFlagSet(), newFlagSet(), newFlagSet(), newFlagSet()

	fs := f.ofForwarder
	fs.StringVar(&f.localForwardPort, "localForwardPort", "", "port of the server to put online")
	fs.StringVar(&f.localForwardHost, "localForwardHost", "localhost", "host of the server to put online")
	fs.StringVar(&f.protocol, "protocol", string(relay.Multiplex), "how users come from the relay: multiplex, pool or event")
	fs.IntVar(&f.poolSize, "poolSize", relay.DefaultPoolSize, "connections that wait at the relay for users, with --protocol=pool")
	fs.BoolVar(&f.keepTrying, "keepTrying", false, "go on when the relay refuses what it has never granted, instead of ending with exit status 3")
	f.owner.define(fs)
	f.tls.defineForwarder(fs)

	fs = f.ofRelay
	fs.StringVar(&f.bind, "bind", "", "address of the relay's ports (default all, IPv4 and IPv6)")
	fs.StringVar(&f.ports, "ports", "20000-29999", "public ports that the relay opens")
	fs.StringVar(&f.trustedProxies, "trustedProxies", "", "networks of load balancers before the public ports, which send the user's address in a PROXY protocol header; each proxy there has to write a header of its own, as one that it passes on from a client is believed")
	fs.StringVar(&f.controlProxies, "controlProxies", "", "networks of load balancers before the control port, which send the relay client's address in such a header, of their own likewise (default none)")
	fs.StringVar(&f.tokens, "tokens", "", "file of those who may use the relay (default the file that RELAY_TOKENS names, or else everybody may)")
	fs.DurationVar(&f.lease, "lease", 5*time.Minute, "how long a public port is kept for a relay client that is away")
	fs.DurationVar(&f.tokenLease, "tokenLease", 24*time.Hour, "the same for one with a token or a certificate")
	f.tls.defineRelay(fs)
	f.limits.define(f.ofRelayLimits)

	fs = f.ofBoth
	fs.StringVar(&f.stateDir, "stateDir", "", "folder for what outlives a restart: leases, keys and certificates (default ~/.local/state/relay)")
	f.tls.defineBoth(fs)
	fs.DurationVar(&f.drain, "drain", relay.DefaultDrain, "how long connections on which bytes move may go on after SIGTERM or Ctrl-C")
	fs.StringVar(&f.logLevel, "logLevel", "info", "debug, info, warn or error")
	fs.StringVar(&f.logFormat, "logFormat", "", "text or json (default text on a terminal, json otherwise)")
}

// camelCase accepts each flag in kebab-case too, and by a name that it had before.
func camelCase(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	first, rest, _ := strings.Cut(name, "-")
	for word := range strings.SplitSeq(rest, "-") {
		if word != "" {
			first += strings.ToUpper(word[:1]) + word[1:]
		}
	}
	if first == "tunnelUsersPerSecond" {
		first = "usersPerSecond"
	}
	return pflag.NormalizedName(first)
}

// protocols returns the values of --protocol.
func protocols() (names []string) {
	for _, protocol := range relay.Protocols() {
		names = append(names, string(protocol))
	}
	return names
}

// completeFlags has shells complete the values of flags that have few.
func completeFlags(cmd *cobra.Command) {
	values := map[string][]string{
		"protocol":  protocols(),
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
