package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/config"
	"github.com/seed96252745/relay/internal/port"
)

// setup is what a file makes of a process, with the command line and the environment before
// it.
type setup struct {
	file     *config.File
	process  *flags         // settings of the whole process
	relay    *relaySetup    // nil if the process is no relay
	services []serviceFlags // none if it is no forwarder
	notes    []string       // to be logged at the start
}

// relaySetup is the relay of a process.
type relaySetup struct {
	flags *flags
	port  int // control port
}

// serviceFlags is a service of a process, before anything is opened for it.
type serviceFlags struct {
	name         string // in the file
	relay, local string // addresses
	flags        *flags
}

// loadSetup reads a file. Its error has all faults of the file.
func (f *flags) loadSetup(path string, args []string) (*setup, error) {
	file, err := config.Load(path)
	var faults *config.Faults
	if err != nil && !errors.As(err, &faults) {
		return nil, &usageError{wrong: "--config: " + err.Error(), right: rightConfig}
	}
	base := f.derive()
	base.file = file
	l := setupLoader{setup: &setup{file: file}, flags: base}
	if faults != nil {
		l.faults = faults.List
	}
	l.load(args)
	if err := config.Join(path, l.faults...); err != nil {
		return nil, &usageError{wrong: err.Error(), right: "to check it again:   relay check " + quoteArg(path)}
	}
	return l.setup, l.wrong
}

// setupLoader collects what is wrong.
type setupLoader struct {
	setup  *setup
	flags  *flags // of command line and environment
	faults []config.Fault
	wrong  error // of the command line or the environment; the first one counts
}

func (l *setupLoader) load(args []string) {
	s := l.setup
	s.process = l.flags.derive()
	l.fill(s.process, "", s.file)
	l.check(s.process, "", s.process.checkProcess())
	if s.file.Server != nil {
		f := s.process.derive()
		l.fill(f, "server", s.file.Server)
		s.relay = &relaySetup{flags: f}
		l.check(f, "server", f.checkRelay())
		s.relay.port = l.controlPort(args)
	}
	relayAddr := l.relayAddr(args)
	l.checkSecrets()
	for i := range s.file.Services {
		s.services = append(s.services, l.service(&s.file.Services[i], relayAddr))
	}
	l.refuseArguments(args)
	l.refuseFlags()
}

// refuseFlags refuses flags that nothing in the file is there for, and those that are for
// several things in it which cannot all have the same. Variables of a side that is not there
// have no effect, as without a file.
func (l *setupLoader) refuseFlags() {
	s, path := l.setup, l.setup.file.Path
	refuse := func(refused bool, why string, sets ...*pflag.FlagSet) {
		for _, fs := range sets {
			fs.VisitAll(func(flag *pflag.Flag) {
				if refused && flag.Changed && l.flags.from[flag.Name] == (origin{}) {
					l.wrongArgument(usagef(rightConfig, "--%s: %s", flag.Name, why))
				}
			})
		}
	}
	refuse(s.relay == nil, "a relay has it, and "+path+" has no [server]", l.flags.ofRelay, l.flags.ofRelayLimits)
	refuse(len(s.services) == 0, "a forwarder has it, and "+path+" has no services", l.flags.ofForwarder)
	ambiguous := func(why string, names ...string) {
		for _, name := range names {
			if flag := lookup(name, l.flags.all()...); flag.Changed {
				l.wrongArgument(l.flags.renamed(usagef(rightConfig, "--%s is given, and %s", name, why)))
			}
		}
	}
	if len(s.services) > 0 {
		ambiguous("each service of "+path+" has a local server of its own: change that in the file", "localForwardPort", "localForwardHost")
	}
	several := path + " has several that could be meant: put it into the file"
	if len(s.services) > 1 {
		ambiguous(several, "port", "name")
	}
	if s.relay != nil && len(s.services) > 0 {
		ambiguous(several, "probe", "tlsCert", "tlsKey")
	}
}

// unused returns a line for each variable that has no effect.
func (s *setup) unused(f *flags, env environment) []string {
	in, side := []*pflag.FlagSet{f.ofBoth}, ""
	if s.relay != nil {
		in = append(in, f.ofRelay, f.ofRelayLimits)
		side = "it is a forwarder's, and " + s.file.Path + " has no services"
	}
	if len(s.services) > 0 {
		in = append(in, f.ofForwarder)
		side = "it is a relay's, and " + s.file.Path + " has no [server]"
	}
	return env.unused(f, side, in...)
}

// fill gives flags their values of a table, but for those that the command line or the
// environment has given.
func (l *setupLoader) fill(f *flags, table string, from any) {
	config.Given(from, func(key, value string) {
		flag := lookup(key, f.setsOf(table)...)
		if flag == nil || flag.Changed {
			return
		}
		if err := f.set(flag, value, origin{key: strings.TrimPrefix(table+"."+key, ".")}); err != nil {
			l.check(f, table, []error{err})
		}
	})
}

// check adds the errors of checks, about values that come from a table or from elsewhere.
func (l *setupLoader) check(f *flags, table string, errs []error) {
	for _, err := range errs {
		if fault, ok := f.fault(err, table); ok {
			l.faults = append(l.faults, fault)
		} else if l.wrong == nil {
			l.wrong = f.renamed(err)
		}
	}
}

func (l *setupLoader) controlPort(args []string) int {
	if len(args) == 1 {
		number, err := parsePort(args[0], "port of the relay", rightConfig)
		l.wrongArgument(err)
		return number
	}
	given := l.setup.file.Server.Port
	if given == nil {
		return 0 // which is a fault already
	}
	if _, err := port.Parse(strconv.Itoa(*given)); err != nil {
		l.faults = append(l.faults, l.setup.file.Fault("server.port", err.Error(), "for example: port = 8080"))
	}
	return *given
}

func (l *setupLoader) wrongArgument(err error) {
	if l.wrong == nil {
		l.wrong = err
	}
}

// relayAddr returns the address of the relay that the services use.
func (l *setupLoader) relayAddr(args []string) string {
	if len(args) == 2 {
		number, err := parsePort(args[1], "port of the relay", rightConfig)
		l.wrongArgument(err)
		if err := checkHost(args[0]); err != nil {
			l.wrongArgument(usagef(rightConfig, "host of the relay: %v", err))
		}
		return net.JoinHostPort(args[0], strconv.Itoa(number))
	}
	r := l.setup.file.Relay
	if r == nil || r.Address == "" {
		return ""
	}
	if err := checkAddress(r.Address); err != nil {
		l.faults = append(l.faults, l.setup.file.Fault("relay.address", err.Error(), `for example: address = "relay.example.com:8080"`))
	}
	return r.Address
}

// checkAddress refuses what is no host with a port.
func checkAddress(text string) error {
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%+.80q is no host with a port", text)
	}
	if _, err := port.Parse(number); err != nil {
		return err
	}
	return checkHost(host)
}

func (l *setupLoader) refuseArguments(args []string) {
	s := l.setup
	switch {
	case len(args) > 2:
		l.wrongArgument(usagef(rightConfig, "%s; with --config there are the port of the relay, or host and port of the one that services use, or none", argumentsGiven(len(args))))
	case len(args) == 1 && s.relay == nil:
		l.wrongArgument(usagef(rightConfig, "a port is given, and %s has no [server] to have it", s.file.Path))
	case len(args) == 2 && len(s.services) == 0:
		l.wrongArgument(usagef(rightConfig, "a relay is given, and %s has no services to use it", s.file.Path))
	}
}

// service returns a service of the file.
func (l *setupLoader) service(s *config.Service, relayAddr string) serviceFlags {
	table := config.ServiceKey(s.Name)
	f := l.setup.process.derive()
	own, common := *s, config.Relay{}
	if l.setup.file.Relay != nil {
		common = *l.setup.file.Relay
	}
	takeToken(f, &own, &common)
	l.fill(f, table, own)
	l.fill(f, "relay", common)
	l.check(f, table, f.checkForwarder())
	local, err := parseLocal(s.Local)
	if s.Local != "" && err != nil {
		l.faults = append(l.faults, l.setup.file.Fault(table+".local", err.Error(), `for example: local = "localhost:22"`))
	}
	return serviceFlags{name: s.Name, relay: relayAddr, local: local, flags: f}
}

// checkSecrets refuses tokens in the file that are none.
func (l *setupLoader) checkSecrets() {
	check := func(key, secret string) {
		if secret == "" {
			return
		}
		if err := auth.CheckSecret(secret); err != nil {
			l.faults = append(l.faults, l.setup.file.Fault(key, err.Error(), "to make a token, at the relay: relay token new --name db1"))
		}
	}
	if r := l.setup.file.Relay; r != nil {
		check("relay.token", r.Token)
	}
	for _, s := range l.setup.file.Services {
		check(config.ServiceKey(s.Name)+".token", s.Token)
	}
}

// takeToken gives a service its token, if that is in the file, and leaves out of own and common
// the token file that another token is before: that of the command line or the environment, and
// then the service's own.
func takeToken(f *flags, own *config.Service, common *config.Relay) {
	_, set := os.LookupEnv("RELAY_TOKEN")
	switch {
	case f.ofForwarder.Changed("tokenFile"):
	case set:
		own.TokenFile, common.TokenFile = "", ""
	case own.Token != "":
		f.owner.secret, common.TokenFile = own.Token, ""
	case own.TokenFile == "":
		f.owner.secret = common.Token
	}
}
