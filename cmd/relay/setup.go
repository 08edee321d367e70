package main

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"

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
		return nil, &usageError{wrong: err.Error(), right: rightConfig}
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
	for i := range s.file.Services {
		s.services = append(s.services, l.service(&s.file.Services[i], relayAddr))
	}
	l.refuseArguments(args)
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
	table := "services." + s.Name
	f := l.setup.process.derive()
	l.fill(f, table, s)
	if relay := l.setup.file.Relay; relay != nil {
		of := *relay
		if f.owner.takeSecret(s.Token, of.Token, f.ofForwarder.Lookup("tokenFile").Changed) {
			of.TokenFile = ""
		}
		l.fill(f, "relay", of)
	} else {
		f.owner.takeSecret(s.Token, "", f.ofForwarder.Lookup("tokenFile").Changed)
	}
	l.check(f, table, f.checkForwarder())
	local, err := parseLocal(s.Local)
	if s.Local != "" && err != nil {
		l.faults = append(l.faults, l.setup.file.Fault(table+".local", err.Error(), `for example: local = "localhost:22"`))
	}
	return serviceFlags{name: s.Name, relay: relayAddr, local: local, flags: f}
}

// maxSocketPath is how long the path of a Unix socket can be on the system that has the
// shortest: macOS, with 104 bytes and a zero among them.
const maxSocketPath = 103

// parseLocal returns the address of a local server: a port of localhost, a host with a port, or
// a Unix socket.
func parseLocal(text string) (addr string, err error) {
	path, isUnix := strings.CutPrefix(text, "unix:")
	switch {
	case isUnix && (path == "" || path == "@"):
		return "", errors.New("after unix: there is the path of a socket, or @ and its name")
	case isUnix && strings.HasPrefix(path, "@") && runtime.GOOS != "linux":
		return "", errors.New("only Linux has sockets with names: give a path")
	case isUnix && len(path) > maxSocketPath:
		return "", fmt.Errorf("the path of a socket has %d bytes at most", maxSocketPath)
	case isUnix:
		return text, nil
	}
	if number, err := port.Parse(text); err == nil {
		return net.JoinHostPort("localhost", strconv.Itoa(number)), nil
	}
	if err := checkAddress(text); err != nil {
		return "", err
	}
	return text, nil
}
