package main

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// dispatch runs the relay or the forwarder, which share one command: it is the forwarder
// with --localForwardPort, and what a file says with --config.
func dispatch(cmd *cobra.Command, args []string, f *flags, stderr io.Writer) error {
	outliveReaders()
	if f.configFile != "" {
		return runFile(cmd, args, f, stderr)
	}
	s, err := f.setupOfFlags(cmd, args)
	if err != nil {
		return err
	}
	return runSetup(cmd.Context(), s, outputs{cmd.OutOrStdout(), stderr}, nil)
}

// setupOfFlags returns what a command line says without a file: a relay, or a forwarder.
func (f *flags) setupOfFlags(cmd *cobra.Command, args []string) (*setup, error) {
	s := &setup{process: f}
	if err := firstOf(f.checkProcess()); err != nil {
		return nil, err
	}
	if cmd.Flags().Changed("localForwardPort") {
		if err := refuseFlags("the forwarder has no", f.ofRelay, f.ofRelayLimits); err != nil {
			return nil, err
		}
		relayAddr, local, err := forwarderAddrs(cmd, args, f)
		if err != nil {
			return nil, err
		}
		s.services = []serviceFlags{{relay: relayAddr, local: local, flags: f}}
		return s, firstOf(f.checkForwarder())
	}
	f.takeOldNames()
	if err := refuseFlags("the relay has no", f.ofForwarder); err != nil {
		return nil, err
	}
	if err := firstOf(f.checkRelay()); err != nil {
		return nil, err
	}
	controlPort, err := relayPort(cmd, args)
	if err != nil {
		return nil, err
	}
	s.relay = &relaySetup{flags: f, port: controlPort}
	return s, nil
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
