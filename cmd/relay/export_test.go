package main

import (
	"context"
	"crypto/tls"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/api"
)

// Main is the command, for scripts to run.
var Main = main

// ExplainListen adds what to do when the relay cannot listen on its control port.
var ExplainListen = explainListen

// Run runs the command in this process. If ctx is done the command starts nothing.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return run(ctx, args, stdout, stderr)
}

// FlagTables returns the flags that the help shows, by the titles of docs/flags.md. It leaves
// out the flags that every command has.
func FlagTables() map[string][]*pflag.Flag {
	tables := make(map[string][]*pflag.Flag)
	shown := func(title string, fs *pflag.FlagSet) {
		tables[title] = nil
		fs.VisitAll(func(flag *pflag.Flag) {
			if !flag.Hidden && flag.Name != "help" && flag.Name != "version" {
				tables[title] = append(tables[title], flag)
			}
		})
		if tables[title] == nil {
			delete(tables, title)
		}
	}
	var f flags
	f.define()
	for _, group := range f.groups() {
		shown(group.title, group.flags)
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			title := sub.CommandPath()
			if sub.Parent().Name() == "completion" {
				title = sub.Parent().CommandPath() // the shells have the same
			}
			shown(title, sub.LocalFlags())
			walk(sub)
		}
	}
	walk(newRootCommand(io.Discard))
	return tables
}

// ExplainSocket adds what to do to the error of a socket.
var ExplainSocket = explainSocket

// CertificateProblem reports whether a certificate ends soon.
func CertificateProblem(own func(*tls.ClientHelloInfo) (*tls.Certificate, error), now time.Time) (api.Problem, bool) {
	return certificateProblem(own, now)
}
