package main

import (
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/config"
	"github.com/seed96252745/relay/internal/node"
)

// flags has the values of all flags.
type flags struct {
	options relay.Options // of the forwarder
	config  node.Config   // of the relay

	protocol         string
	localForwardPort []string
	localForwardHost string
	ports            string
	drain            time.Duration
	upgradeDrain     time.Duration
	probe            string
	healthCheck      string
	configFile       string
	logLevel         string
	logFormat        string
	stateDir         string
	tokens           string
	trustedProxies   string
	controlProxies   string
	sshListen        string
	sshClientCA      string
	owner            ownerFlags
	tls              tlsFlags
	limits           limitFlags
	adminServer      adminServerFlags

	linesDropped func() int64 // of the log

	from map[string]origin // of flags whose value is not from the command line
	file *config.File      // that values may come from, or nil

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

A relay runs on a machine that everybody can reach. A forwarder runs beside a
server that nobody can reach, behind NAT or a firewall. The forwarder connects
out to the relay, which opens a public port and joins each user who connects to
that port with the server, byte for byte.`,
		Example: `  Run a relay whose control port is 8080:
    relay 8080

  Put the Redis on this machine online through it:
    relay --localForwardPort=6379 relay.example.com 8080

  The same with a connection of its own for each user:
    relay --localForwardPort=6379 --protocol=event relay.example.com 8080

  Put two servers online, each at a public port of its own:
    relay --localForwardPort=22 --localForwardPort=80 relay.example.com 8080

  Run what a file says, a relay, services to put online, or both:
    relay init
    relay --config relay.toml

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
			return f.renamed(dispatch(cmd, args, &f, stderr))
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
	root.AddCommand(newStatusCommand(), newAliveCommand(), newUsersCommand(), newKickCommand(), newLogCommand(), newTopCommand(), newReloadCommand(), newUpgradeCommand(), newSupportCommand())
	root.AddCommand(newTokenCommand())
	root.AddCommand(newCheckCommand(), newInitCommand(), newServiceCommand())
	root.AddCommand(newDoctorCommand())
	if man := newManCommand(); man != nil {
		root.AddCommand(man)
	}
	root.InitDefaultCompletionCmd("")
	root.InitDefaultHelpCmd()
	refuseArguments(root)
	refuseTwice(root)
	return root
}

// define defines the flags, each in the set of who has it.
func (f *flags) define() {
	f.ofForwarder, f.ofRelay, f.ofRelayLimits, f.ofBoth = newFlagSet(), newFlagSet(), newFlagSet(), newFlagSet()
	f.from = make(map[string]origin)

	fs := f.ofForwarder
	fs.Var(repeated{&f.localForwardPort}, "localForwardPort", "port of the server to put online, or unix: and the path of its socket; given several times, each is a server with a public port of its own")
	fs.StringVar(&f.localForwardHost, "localForwardHost", "localhost", "host of the server to put online")
	fs.StringVar(&f.protocol, "protocol", string(relay.Multiplex), "how users come from the relay: multiplex, pool or event")
	fs.IntVar(&f.options.Sessions, "sessions", 0, "connections to the relay that users are spread over, with --protocol=multiplex (default 1, or with TLS 4)")
	fs.IntVar(&f.options.PoolSize, "poolSize", relay.DefaultPoolSize, "connections that wait for users at the relay, with --protocol=pool")
	fs.BoolVar(&f.options.KeepTrying, "keepTrying", false, "keep trying when the relay refuses what it has never granted, instead of ending with exit status 3")
	fs.StringVar(&f.healthCheck, "healthCheck", "", "tcp or http:/path: while the server does not accept, or does not answer that path with a status of 200 to 299, its users wait at the relay (default none)")
	f.owner.define(fs, &f.options)
	f.tls.defineForwarder(fs)

	fs = f.ofRelay
	fs.StringVar(&f.config.Bind, "bind", "", "address of the relay's ports (default all, IPv4 and IPv6)")
	fs.StringVar(&f.ports, "ports", "20000-29999", "public ports that the relay opens")
	fs.StringVar(&f.trustedProxies, "trustedProxies", "", "networks of load balancers before the public ports, whose PROXY protocol headers say who the user is; each proxy there has to send its own header, as one that it passes on from a client is believed (default none)")
	fs.StringVar(&f.controlProxies, "controlProxies", "", "networks of load balancers before the control port, whose headers say who the relay client is; each proxy there has to send its own, too (default none)")
	fs.StringVar(&f.sshListen, "sshListen", "", "address or port where SSH clients put servers online too, with ssh -R, as they can at the control port then (default none)")
	fs.StringVar(&f.sshClientCA, "sshClientCa", "", "file with authorities of SSH: an SSH client with a certificate from one needs no token, and others need one")
	fs.StringVar(&f.tokens, "tokens", "", "file that says who may use the relay (default none: anybody may)")
	fs.DurationVar(&f.config.Lease, "lease", 5*time.Minute, "how long a public port is kept while its owner is away")
	fs.DurationVar(&f.config.TokenLease, "tokenLease", 24*time.Hour, "the same, for an owner with a token or a certificate")
	fs.DurationVar(&f.upgradeDrain, "upgradeDrain", 24*time.Hour, "how long an old process may go on with its users after relay upgrade; 0s is for as long as it takes")
	f.tls.defineRelay(fs, &f.config.RequireTLS)
	f.limits.define(f.ofRelayLimits)

	fs = f.ofBoth
	fs.StringVar(&f.configFile, "config", "", "file that says what this process is: a relay, services to put online, or both; flags win over it")
	fs.StringVar(&f.stateDir, "stateDir", "", "folder for what outlives a restart: leases, keys and certificates (default ~/.local/state/relay)")
	f.tls.defineBoth(fs)
	fs.StringVar(&f.probe, "probe", "", "of a relay: how often it asks each forwarder whether its server accepts connections, 0 is never (default 15s); of a forwarder: local to find out by connecting, session to answer without that, off to answer nothing (default local)")
	fs.DurationVar(&f.drain, "drain", relay.DefaultDrain, "how long connections on which bytes move may go on after SIGTERM or Ctrl-C")
	f.adminServer.define(fs)
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
		"protocol":    protocols(),
		"probe":       {"local", "session", "off"},
		"healthCheck": {"tcp", "http:/healthz"},
		"balance":     {"least", "roundRobin", "source"},
		"logLevel":    {"debug", "info", "warn", "error"},
		"logFormat":   {"text", "json"},
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
