// Command relay puts servers online that cannot be reached.
//
//	relay <localport>                                     runs a relay
//	relay --localForwardPort=<port> <host> <port>         puts a server online
//
// The command puts Relay together: flags become the configuration of the packages, signals
// become contexts, and errors become messages and exit statuses. It does nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/auth"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // the command line is wrong: trying again does not help
	exitRefused = 3 // the relay refuses what it is asked for: trying again does not help either
)

func main() {
	ctx, stop := untilSignal(context.Background())
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run runs the command and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newRootCommand(stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	// The library's errors begin with its name, which is that of the command as well.
	message := strings.TrimPrefix(err.Error(), "relay: ")
	var usage *usageError
	var refused *relay.RefusedError
	var status exitStatus
	switch {
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		printError(stderr, auth.Conceal(fmt.Sprintf("relay: %v\n%s\n", err, usage.right)))
		return exitUsage
	case errors.As(err, &refused):
		printError(stderr, auth.Conceal(fmt.Sprintf("relay: %s\nto keep trying until the relay grants it:   --keepTrying\n", message)))
		return exitRefused
	}
	printError(stderr, auth.Conceal(fmt.Sprintf("relay: %s\n", message)))
	return exitFailure
}

// exitStatus is the error of a command that has printed already why it ends with this status.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is the error of a wrong command line.
type usageError struct {
	wrong string
	right string // what to type instead
}

func (e *usageError) Error() string { return e.wrong }

func usagef(right, format string, args ...any) error {
	return &usageError{wrong: fmt.Sprintf(format, args...), right: right}
}
