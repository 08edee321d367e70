package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/cmd/relay/forwarder"
	"github.com/seed96252745/relay/internal/lossy"
)

const rightConfig = "to check a file:   relay check relay.toml\nto begin one:      relay init relay.toml"

// runFile runs what a file says.
func runFile(cmd *cobra.Command, args []string, f *flags, env environment, stderr io.Writer) error {
	if err := env.take(f, f.all()...); err != nil {
		return err
	}
	from := &source{seen: sumOf(f.configFile), load: func() (*setup, error) { return f.loadSetup(f.configFile, args) }}
	s, err := from.load()
	if err != nil {
		return err
	}
	s.notes = s.unused(f, env)
	return runSetup(cmd.Context(), s, outputs{cmd.OutOrStdout(), stderr}, from)
}

// open returns the services with all that they need: what is read from files, the keys of their
// leases, and where their public addresses are printed.
func (s *setup) open(keys relay.KeyStore, printed io.Writer, log *slog.Logger) (services []forwarder.Service, err error) {
	for _, service := range s.services {
		f := service.flags
		if err := f.openForwarder(service, len(s.services) > 1, printed, log); err != nil {
			return nil, service.named(f.renamed(err))
		}
		options := f.options
		if !f.ofForwarder.Changed("keepTrying") {
			options.KeepTrying = s.file != nil || len(s.services) > 1 // one that is refused is no reason to end the others
		}
		options.Keys = keys
		if service.name != "" {
			options.Keys = serviceKeys{keys: keys, name: service.relay + " services." + service.name}
		}
		services = append(services, forwarder.Service{
			Name: service.name, Relay: service.relay, Local: service.local, Settings: service.settings(), Options: options,
		})
	}
	return services, nil
}

// named returns an error that says which service it is about.
func (s serviceFlags) named(err error) error {
	if s.name == "" {
		return err
	}
	return fmt.Errorf("services.%s: %w", s.name, err)
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
