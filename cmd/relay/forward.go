package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/cmd/relay/forwarder"
)

// checkForwarder parses the forwarder's flags into options, and returns what is wrong with
// them.
func (f *flags) checkForwarder() (wrong []error) {
	options := &f.options
	if options.PoolSize < 1 || options.PoolSize > relay.MaxPoolSize {
		wrong = append(wrong, usagef("for example:   --poolSize=16", "--poolSize=%d: a pool has 1 to %d connections", options.PoolSize, relay.MaxPoolSize))
	}
	if f.ofForwarder.Changed("sessions") && (options.Sessions < 1 || options.Sessions > relay.MaxSessions) {
		wrong = append(wrong, usagef("for example:   --sessions=4", "--sessions=%d: there are 1 to %d connections", options.Sessions, relay.MaxSessions))
	}
	protocol := strings.ToLower(f.protocol)
	if !slices.Contains(protocols(), protocol) {
		wrong = append(wrong, usagef("one of:   --protocol="+strings.Join(protocols(), ", --protocol="), "--protocol: there is no protocol %q", f.protocol))
	}
	var err error
	if options.Probe, err = f.probeAnswer(); err != nil {
		wrong = append(wrong, err)
	}
	if options.HealthCheck, err = f.health(); err != nil {
		wrong = append(wrong, err)
	}
	options.Protocol = relay.Protocol(protocol)
	options.Drain = cmp.Or(f.drain, -1) // "not at all", where zero is the default
	wrong = append(wrong, f.owner.apply(f.ofForwarder, options)...)
	wrong = append(wrong, f.tls.check()...)
	if err := f.tls.checkTrust(); err != nil {
		wrong = append(wrong, err)
	}
	return wrong
}

// openForwarder adds to the options of a service what is read from files and what is written to.
// It comes after checkForwarder. Several reports that the process has other services, too.
func (f *flags) openForwarder(s serviceFlags, several bool, printed io.Writer, log *slog.Logger) (err error) {
	options := &f.options
	options.Logger = log
	name := ""
	if s.name != "" {
		options.Logger = log.With("service", s.name)
	}
	if s.name != "" && several {
		name = " " + s.name
	}
	options.OnRegister = func(public net.Addr) {
		fmt.Fprintf(printed, "%s -> %s (%s)%s\n", public, s.local, options.Protocol, name)
	}
	if options.Token, err = f.owner.token(); err != nil {
		return err
	}
	if f.owner.tokenFile != "" {
		options.TokenSource = f.owner.token
	}
	if options.TLS, err = f.tls.client(log); err != nil {
		return err
	}
	return nil
}

// forwarderAddrs returns the addresses of the relay and of the local servers.
func forwarderAddrs(cmd *cobra.Command, args []string, f *flags) (relayAddr string, locals []string, err error) {
	locals, err = f.localAddrs()
	if err != nil {
		return "", nil, err
	}
	line := func(host, port string) string {
		return fmt.Sprintf("to put a server online:   relay --localForwardPort=%s %s %s", strings.Join(f.localForwardPort, ","), host, port)
	}
	if len(args) != 2 {
		right, where := rightForwarder, ""
		if len(args) == 1 {
			right, where = rightHost(checkHost(args[0]), "8080", right, line), whereThePortIs(cmd.Flags())
		}
		return "", nil, usagef(right, "%s; the forwarder has two, host and port of the relay%s", argumentsGiven(len(args)), where)
	}
	relayPort, err := parsePort(args[1], "port of the relay", rightForwarder)
	if err != nil {
		return "", nil, err
	}
	if err := checkHost(args[0]); err != nil {
		return "", nil, usagef(rightHost(err, strconv.Itoa(relayPort), rightForwarder, line), "host of the relay: %v", err)
	}
	return net.JoinHostPort(args[0], strconv.Itoa(relayPort)), locals, nil
}

// reload reads the token file again.
func reload(n *forwarder.Node, log *slog.Logger) error {
	if err := n.Reload(); err != nil {
		log.Error("the token cannot be read again; the previous one is shown", "error", err)
		return err
	}
	log.Info("the token was read again; it is shown with the next registration")
	return nil
}
