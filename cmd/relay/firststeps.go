package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// firstSteps is what a person sees who types the command alone: the three commands that most
// people want. It asks nothing.
const firstSteps = `Relay puts servers online that cannot be reached.

On a machine that everybody can reach, run a relay:
    relay 8080

Beside your server, here one at port 6379, put it online through that relay:
    relay --localForwardPort=6379 relay.example.com 8080

See all of it work in one process, with nothing set up:
    relay demo

More:   relay --help
`

// showFirstSteps writes the first steps.
func showFirstSteps(cmd *cobra.Command) error {
	_, err := fmt.Fprint(cmd.OutOrStdout(), firstSteps)
	return err
}

// isTerminal reports whether a person sees what is written to w.
func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}
