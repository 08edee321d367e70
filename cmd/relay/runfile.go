package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/cmd/relay/forwarder"
	"github.com/seed96252745/relay/internal/lossy"
)

const rightConfig = "to check a file:   relay check relay.toml\nto begin one:      relay init relay.toml"

// runFile runs what a file says.
func runFile(cmd *cobra.Command, args []string, f *flags, stderr io.Writer) error {
	s, err := f.loadSetup(f.configFile, args)
	if err != nil {
		return err
	}
	log, lines := newLogger(stderr, s.process.logLevel, s.process.logFormat)
	defer lines.Close(flushWait)
	if s.relay != nil && len(s.services) > 0 {
		return errors.New("a relay and services of one file do not run in one process yet: give each a file of its own")
	}
	if s.relay != nil {
		s.relay.flags.linesDropped = lines.Dropped
		return s.relay.flags.renamed(runRelay(cmd.Context(), s.relay.port, s.relay.flags, log))
	}
	return runServices(cmd.Context(), cmd.OutOrStdout(), s, log)
}

// runServices runs the services of a file.
func runServices(ctx context.Context, stdout io.Writer, s *setup, log *slog.Logger) error {
	if len(s.services) != 1 {
		return errors.New("several services of one file do not run in one process yet: give each a file of its own")
	}
	printed := newPrinted(stdout, log)
	defer printed.Close(flushWait)
	services, err := s.open(printed, log)
	if err != nil {
		return err
	}
	only := s.services[0]
	only.flags.options = services[0].Options
	return only.flags.renamed(forward(ctx, only.relay, only.local, only.flags, log))
}

// open returns the services of the file with all that they need: what is read from files, and
// where their public addresses are printed.
func (s *setup) open(printed io.Writer, log *slog.Logger) (services []forwarder.Service, err error) {
	for _, service := range s.services {
		f := service.flags
		if err := f.openForwarder(service.local, printed, log); err != nil {
			return nil, fmt.Errorf("services.%s: %w", service.name, f.renamed(err))
		}
		options := f.options
		options.Keys = serviceKeys{keys: options.Keys, name: service.relay + " services." + service.name}
		services = append(services, forwarder.Service{Name: service.name, Relay: service.relay, Local: service.local, Options: options})
	}
	return services, nil
}

// newPrinted returns where the public addresses are printed. Nobody waits for its reader.
func newPrinted(stdout io.Writer, log *slog.Logger) *lossy.Writer {
	printed := lossy.NewWriter(stdout)
	printed.ReportDropped(func(_ io.Writer, lines int) error {
		log.Warn("nobody reads standard output: public addresses are missing there", "lines", lines)
		return nil
	})
	return printed
}
