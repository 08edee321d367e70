//go:build !windows

package main

import "github.com/spf13/cobra"

// asAdministrator returns how to run a command of relay service with all rights.
func asAdministrator(command string) string { return "sudo relay service " + command }

// newServiceRunCommand returns nothing: what a manager runs is the command as it is.
func newServiceRunCommand() *cobra.Command { return nil }
