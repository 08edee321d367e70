package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/cmd/relay/daemon"
)

const (
	rightInstall = "for example:   relay service install --config /etc/relay/relay.toml"
	rightService = "to install one:     relay service install --config /etc/relay/relay.toml\nto see one:         relay service status\nto remove one:      relay service uninstall\nmore:               relay service --help"
)

func newServiceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Have this machine run a configuration file, from its start on",
		Long: `Makes a service of this machine, which runs what a configuration file says: of
systemd, of launchd on macOS, or of Windows. It starts with the machine, and again
when it has failed.`,
		Example: "  relay service install --config /etc/relay/relay.toml\n  relay service status\n  relay service uninstall",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef(rightService, "service: there is no command %q", strings.Join(args, " "))
			}
			return usagef(rightService, "service: install, status or uninstall is missing")
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return explainFlag(err, rightService, serviceExamples()) })
	cmd.AddCommand(newServiceInstallCommand(), newServiceStatusCommand(), newServiceUninstallCommand())
	if run := newServiceRunCommand(); run != nil {
		cmd.AddCommand(run)
	}
	return cmd
}

func serviceExamples() map[string]string {
	return map[string]string{"config": "/etc/relay/relay.toml", "name": "web"}
}

// serviceCommand returns a command about the service that --name means.
func serviceCommand(use, short, long string, run func(out io.Writer, s daemon.Service) error) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args:              takes(0, rightService, use+" has flags only"),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return refuseEmpty(cmd, serviceExamples()) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			full, err := serviceName(name)
			if err != nil {
				return err
			}
			return run(cmd.OutOrStdout(), daemon.Service{Name: full})
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&name, "name", "", "name of the service, if there are several: web makes it relay-web (default relay)")
	return cmd
}

var serviceNames = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func serviceName(name string) (string, error) {
	switch {
	case name == "":
		return "relay", nil
	case len(name) > 40 || !serviceNames.MatchString(name):
		return "", usagef("for example:   --name=web", "--name=%+.40q: a name has at most 40 lowercase letters, digits and, between them, hyphens", name)
	}
	return "relay-" + name, nil
}

func newServiceInstallCommand() *cobra.Command {
	var config string
	cmd := serviceCommand("install", "Have this machine run a configuration file",
		`Checks the file, and makes a service that runs it: now, and from each start of the
machine on. The file stays where it is, and the service loads it again when it changes.

With systemd the service runs as a user of its own, shut off from what Relay does not
need. It reads its files as a member of the group relay-config, and sees nothing of
/home, /root and /tmp.`,
		func(out io.Writer, s daemon.Service) error { return installService(out, s, config) })
	cmd.Example = "  sudo relay service install --config /etc/relay/relay.toml\n  sudo relay service install --config /etc/relay/web.toml --name web"
	cmd.Flags().StringVar(&config, "config", "", "file that says what the service is")
	return cmd
}

func installService(out io.Writer, s daemon.Service, path string) (err error) {
	if path == "" {
		return usagef(rightInstall, "service install: --config is missing")
	}
	if s.Config, err = filepath.Abs(path); err != nil {
		return err
	}
	if s.Command, err = os.Executable(); err != nil {
		return err
	}
	var f flags
	f.define()
	setup, err := f.loadSetup(s.Config, nil)
	if err != nil {
		return err
	}
	s.Reads, s.LowPorts = setup.reads(), setup.relay != nil
	if err := s.Install(); err != nil {
		return explainService(err, s, "install --config "+quoteArg(path))
	}
	fmt.Fprintf(out, "%s: %s\n%s runs, and starts with this machine. To see what it does:   relay status --stateDir=%s\n", path, setup, s.Name, quoteArg(s.StateDir()))
	return nil
}

// reads returns the files that the process will read, with secrets and others.
func (s *setup) reads() (paths []string) {
	all := []*flags{s.process}
	if s.relay != nil {
		all = append(all, s.relay.flags)
	}
	for _, service := range s.services {
		all = append(all, service.flags)
	}
	for _, f := range all {
		for _, name := range []string{"tokens", "tokenFile", "tlsCert", "tlsKey", "tlsCa", "tlsClientCa", "sshClientCa", "adminTokenFile"} {
			if flag := lookup(name, f.all()...); flag != nil && flag.Value.String() != "" {
				paths = append(paths, flag.Value.String())
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func newServiceStatusCommand() *cobra.Command {
	return serviceCommand("status", "See whether the service runs",
		`Prints whether the service runs. relay status has what it does.

The exit status is 0 if it runs, 3 if it does not, and 4 if it is not installed.`,
		func(out io.Writer, s daemon.Service) error {
			state, err := s.Status()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s: %s\n", s.Name, state)
			switch state {
			case daemon.Running:
				return nil
			case daemon.NotInstalled:
				return exitStatus(exitNotInstalled)
			default:
				return exitStatus(exitNotRunning)
			}
		})
}

// Exit statuses of relay service status, which are those of systemctl.
const (
	exitNotRunning   = 3
	exitNotInstalled = 4
)

func newServiceUninstallCommand() *cobra.Command {
	return serviceCommand("uninstall", "Stop the service, and remove it",
		`Ends the service, which lets its connections finish, and removes it. Its
configuration and its state directory stay: they are named.`,
		func(out io.Writer, s daemon.Service) error {
			if err := s.Uninstall(); err != nil {
				return explainService(err, s, "uninstall")
			}
			fmt.Fprintf(out, "%s is removed. Its configuration file stays, and so does its state, with the leases of public ports and the keys to them:   %s\n", s.Name, s.StateDir())
			return nil
		})
}

// explainService adds to an error what to do.
func explainService(err error, s daemon.Service, command string) error {
	name := strings.TrimPrefix(strings.TrimPrefix(s.Name, "relay"), "-")
	if name != "" {
		command += " --name " + name
	}
	switch {
	case errors.Is(err, daemon.ErrRights):
		return fmt.Errorf("relay service %w:   %s", err, asAdministrator(command))
	case errors.Is(err, daemon.ErrInstalled):
		return fmt.Errorf("%w: relay service uninstall removes it, unless a package has brought it; or give this one another name, as with   --name web", err)
	case errors.Is(err, daemon.ErrNotInstalled):
		return fmt.Errorf("%w: --name says which one is meant, if it has a name of its own", err)
	}
	return err
}
