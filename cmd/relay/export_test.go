package main

import (
	"context"
	"io"
)

// Main is the command, for scripts to run.
var Main = main

// ExplainListen says what to do when the control port cannot be had.
var ExplainListen = explainListen

// Run is the command in this process, which a context that is done keeps from
// starting anything.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return run(ctx, args, stdout, stderr)
}
