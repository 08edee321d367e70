// Command player plays the users and the server at the two ends of a tunnel,
// and tells afterwards whether what was between them is exact TCP. See package
// checker, which does the work.
//
//	player serve --listen 127.0.0.1:0 --records server.jsonl
//	player use --to 127.0.0.1:20000 --records users.jsonl --users 1000 --parallel 100
//	player verify --clean users.jsonl server.jsonl
//
// Serve prints "listening <address>", and ends with SIGTERM or an interrupt;
// use ends with its last user, or with one of these. Verify prints a summary in
// JSON, and ends with status 1 and the violations on stderr if there are any.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "player:", err)
		os.Exit(1)
	}
}

// errUsage is for arguments that make no sense; what is wrong has been printed.
var errUsage = errors.New("wrong usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "serve":
			return serve(ctx, args[1:], stdout, stderr)
		case "use":
			return use(ctx, args[1:], stderr)
		case "verify":
			return verify(args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "player serve, player use or player verify; each with -help says more\n")
	return errUsage
}
