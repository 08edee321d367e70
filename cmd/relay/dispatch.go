package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/internal/server"
)

// dispatch runs the relay or the forwarder. They share one command, and
// --localForwardPort tells them apart.
func dispatch(cmd *cobra.Command, args []string, f *flags, stderr io.Writer) error {
	log, err := newLogger(stderr, f.logLevel, f.logFormat)
	if err != nil {
		return err
	}
	if f.drain < 0 {
		return usagef("for example:   --drain=30s, or --drain=0s to cut connections off", "--drain=%s is negative", f.drain)
	}
	if cmd.Flags().Changed("localForwardPort") {
		if err := refuseFlags(cmd, "the forwarder has no", "bind", "ports"); err != nil {
			return err
		}
		return runForwarder(cmd.Context(), args, f, log, cmd.OutOrStdout())
	}
	if err := refuseFlags(cmd, "the relay has no", "protocol", "poolSize", "localForwardHost"); err != nil {
		return err
	}
	return runRelay(cmd.Context(), args, f, log)
}

func refuseFlags(cmd *cobra.Command, who string, names ...string) error {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return usagef(rightBoth, "%s --%s; whether this is the forwarder is told by --localForwardPort", who, name)
		}
	}
	return nil
}

// parsePort reads a port from the command line; what says what it is for.
func parsePort(text, what, right string) (int, error) {
	port, err := server.ParsePort(strings.TrimSpace(text))
	if err != nil {
		return 0, usagef(right, "%s: %v", what, err)
	}
	return port, nil
}
