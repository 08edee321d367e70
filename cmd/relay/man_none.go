//go:build !man

package main

import "github.com/spf13/cobra"

// newManCommand returns nothing, for everybody but makers of packages.
func newManCommand() *cobra.Command { return nil }
