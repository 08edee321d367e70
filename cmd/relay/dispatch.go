package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// dispatch runs the relay or the forwarder, which share one command: it is the forwarder
// with --localForwardPort, and what a file says with --config.
func dispatch(cmd *cobra.Command, args []string, f *flags, stderr io.Writer) error {
	outliveReaders()
	env := readEnvironment()
	if err := env.take(f, f.ofBoth); err != nil {
		return err
	}
	if f.configFile != "" {
		return runFile(cmd, args, f, env, stderr)
	}
	s, err := f.setupOfFlags(cmd, args, env)
	if err != nil {
		if errors.Is(err, errNothingGiven) && isTerminal(cmd.OutOrStdout()) {
			return showFirstSteps(cmd)
		}
		return err
	}
	return runSetup(cmd.Context(), s, outputs{cmd.OutOrStdout(), stderr}, nil)
}

// setupOfFlags returns what a command line says without a file: a relay, or a forwarder.
func (f *flags) setupOfFlags(cmd *cobra.Command, args []string, env environment) (*setup, error) {
	s := &setup{process: f}
	if err := firstOf(f.checkProcess()); err != nil {
		return nil, err
	}
	isForwarder := isForwarder(f, env, args)
	if err := takeSide(f, env, isForwarder); err != nil {
		return nil, err
	}
	if isForwarder {
		relayAddr, locals, err := forwarderAddrs(cmd, args, f)
		if err != nil {
			return nil, err
		}
		for _, local := range locals {
			s.services = append(s.services, serviceFlags{relay: relayAddr, local: local, flags: f})
		}
		s.notes = env.unused(f, "it is a relay's, and this is a forwarder", f.ofForwarder, f.ofBoth)
		return s, firstOf(f.checkForwarder())
	}
	if err := firstOf(f.checkRelay()); err != nil {
		return nil, err
	}
	controlPort, err := relayPort(cmd, args)
	if err != nil {
		return nil, err
	}
	s.relay = &relaySetup{flags: f, port: controlPort}
	s.notes = env.unused(f, "it is a forwarder's, and this is a relay", f.ofRelay, f.ofRelayLimits, f.ofBoth)
	return s, nil
}

// isForwarder reports whether there is a port to put online. Where only the environment has
// one, a single argument is the port of a relay: the variables may be for a forwarder beside it.
func isForwarder(f *flags, env environment, args []string) bool {
	_, set := env[variable("localForwardPort")]
	return f.ofForwarder.Changed("localForwardPort") || set && len(args) != 1
}

// takeSide takes the variables of the forwarder or of the relay, and refuses the flags of the
// other.
func takeSide(f *flags, env environment, isForwarder bool) error {
	if isForwarder {
		if err := refuseFlags("the forwarder has no", f.ofRelay, f.ofRelayLimits); err != nil {
			return err
		}
		return env.take(f, f.ofForwarder)
	}
	f.takeOldNames()
	if err := refuseFlags("the relay has no", f.ofForwarder); err != nil {
		return err
	}
	return env.take(f, f.ofRelay, f.ofRelayLimits)
}

// takeOldNames accepts flags of a relay by their old names. --usersPerSecond is the
// forwarder's now.
func (f *flags) takeOldNames() {
	old, is := f.ofForwarder.Lookup("usersPerSecond"), f.ofRelayLimits.Lookup("maxUsersPerSecond")
	if old.Changed && !is.Changed {
		f.limits.UsersPerSecond, old.Changed = f.options.UsersPerSecond, false
	}
}

func refuseFlags(who string, sets ...*pflag.FlagSet) (err error) {
	for _, fs := range sets {
		fs.VisitAll(func(flag *pflag.Flag) {
			if flag.Changed && err == nil {
				err = usagef(rightBoth, "%s --%s; with --localForwardPort this is the forwarder, and without it the relay", who, flag.Name)
			}
		})
	}
	return err
}
