package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/api/client"
	"github.com/seed96252745/relay/internal/doctor/machine"
)

// doctorHere looks at this machine, as one that runs a relay with these flags.
func (f *doctorFlags) doctorHere(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef(rightDoctor, "%s; the doctor has host and port of the relay, or a port of this machine, or none", argumentsGiven(len(args)))
	}
	m := &machine.Machine{Cert: f.tls.cert, Key: f.tls.key, Tokens: f.tokens, Users: f.limits.Users}
	var err error
	if len(args) == 1 {
		if m.Control, err = parsePort(args[0], "port of the relay", rightDoctor); err != nil {
			return err
		}
	}
	if err := firstOf(f.checkRelay()); err != nil {
		return err
	}
	m.Bind, m.Ports, m.PortsGiven = f.config.Bind, f.config.Ports, cmd.Flags().Changed("ports")
	if m.StateDir, err = f.stateHere(); err != nil {
		return err
	}
	if m.Control == 0 {
		m.Control = onlyRelay(m.StateDir)
	}
	m.Running = f.askRunning(m)
	return f.examine(cmd, "relay", "at this machine, as one that runs a relay", m.Checks())
}

// stateHere returns the state directory to look at: where none is given, and there is no
// usual one, that of a service.
func (f *doctorFlags) stateHere() (string, error) {
	dir, err := f.state()
	if _, missing := os.Stat(dir); f.stateDir == "" && (err != nil || missing != nil) {
		if _, err := os.Stat(serviceState); err == nil {
			return serviceState, nil
		}
	}
	return dir, err
}

// onlyRelay returns the control port of the only relay that runs with a state directory, or 0.
func onlyRelay(stateDir string) (port int) {
	sockets, err := client.Find(stateDir)
	if err != nil {
		return 0
	}
	for _, s := range sockets {
		switch {
		case s.Kind != api.Relay:
		case port != 0:
			return 0
		default:
			port = s.Number
		}
	}
	return port
}

// askRunning returns a function that asks the processes of this state directory.
func (f *doctorFlags) askRunning(m *machine.Machine) func(context.Context) ([]machine.Process, error) {
	return func(ctx context.Context) (all []machine.Process, err error) {
		sockets, err := client.Find(m.StateDir)
		if err != nil {
			return nil, err
		}
		for _, s := range sockets {
			c := client.Dial(s.Path)
			status, err := c.Status(ctx)
			c.Close()
			p := instance{Client: c, socket: s}
			process := machine.Process{Name: p.String(), Status: status, Err: p.explain(err)}
			if s.Kind == api.Relay {
				process.Port = s.Number
			}
			all = append(all, process)
		}
		return all, nil
	}
}
