package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed96252745/relay/cmd/relay/daemon"
)

// asAdministrator returns how to run a command of relay service with all rights.
func asAdministrator(command string) string {
	return "relay service " + command + "   at a prompt that was opened with Run as administrator"
}

// newServiceRunCommand returns the command that Windows runs: its services have to answer it.
func newServiceRunCommand() *cobra.Command {
	var config string
	var s daemon.Service
	cmd := &cobra.Command{
		Use: "run", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return daemon.Run(cmd.Context(), s.Name, []int{exitUsage, exitRefused}, func(ctx context.Context, log io.Writer) int {
				return run(ctx, []string{"--config", config, "--stateDir", s.StateDir(), "--logFormat", "text"}, log, log)
			})
		},
	}
	cmd.Flags().StringVar(&s.Name, "name", "relay", "name of the service")
	cmd.Flags().StringVar(&config, "config", "", "its file")
	return cmd
}
