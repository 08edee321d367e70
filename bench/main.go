//go:build linux

// Command bench measures Relay beside other programs that do the same: it
// starts a backend, each contender and a load generator as processes of their
// own, the contenders in turn within each round, and prints the median of the
// rounds. A figure counts only if every byte behind it arrived and was right.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the values of all flags, as given.
type options struct {
	rounds     int
	scenarios  string
	contenders string
	seconds    float64
	idle       int
	tunnels    int
	aims       bool
	relay      string
	before     string
	watched    bool
	json       string
	svg        string
	markdown   string
}

func main() {
	// A child is killed when the thread that started it ends. This one ends
	// only with the program.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // this is the command
	}
}

// dispatch runs the role that the arguments name: the program starts itself in several.
func dispatch(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == "backend" {
		return backendMain(ctx, args[1], os.Stdout)
	}
	if len(args) == 2 && args[0] == "load" {
		return loadMain(ctx, args[1], os.Stdin, os.Stdout)
	}
	if len(args) == 2 && args[0] == "watch" {
		return watchMain(ctx, args[1], os.Stdout)
	}
	if len(args) > 2 && args[0] == "page" {
		return pageMain(args[1], args[2:])
	}
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		return err
	}
	return benchMain(ctx, o, os.Stdout, os.Stderr)
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.rounds, "rounds", 5, "how often each is measured; the results are medians")
	fs.StringVar(&o.scenarios, "scenarios", "", "scenarios, or beginnings of their names, with commas between (default all)")
	fs.StringVar(&o.contenders, "contenders", "", "contenders, or beginnings of their names, with commas between (default all)")
	fs.Float64Var(&o.seconds, "seconds", 2, "how long one measurement takes")
	fs.IntVar(&o.idle, "idle", 10000, "connections of the scenario idle")
	fs.IntVar(&o.tunnels, "tunnels", 1000, "tunnels of the scenario tunnels")
	fs.BoolVar(&o.aims, "aims", false, "only the scenarios that have aims, and only the contenders that these need")
	fs.StringVar(&o.relay, "relay", "", "the relay command to measure (default: built from this tree)")
	fs.StringVar(&o.before, "before", "", "a relay command of another build, to measure beside relay-... as before-..., in turns")
	fs.BoolVar(&o.watched, "watched", false, "watch the relays of relay-...: scrape their metrics and ask what the admin page asks, each second, with an event stream open that nobody reads")
	fs.StringVar(&o.json, "json", "", "file for all figures as JSON")
	fs.StringVar(&o.svg, "svg", "", "directory for a chart of each scenario")
	fs.StringVar(&o.markdown, "markdown", "", "file for the tables as Markdown")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.rounds < 1 || o.rounds > 100:
		return o, fmt.Errorf("-rounds=%d: between 1 and 100", o.rounds)
	case o.seconds < 0.1 || o.seconds > 60:
		return o, fmt.Errorf("-seconds=%g: between 0.1 and 60", o.seconds)
	case o.idle < 1 || o.tunnels < 2:
		return o, errors.New("-idle is at least 1, -tunnels at least 2")
	}
	return o, nil
}

// benchMain measures, and writes every report that was asked for.
func benchMain(ctx context.Context, o options, stdout, stderr io.Writer) error {
	wanted := o.idle
	limit, err := raiseLimit(2*wanted + spareDescriptors)
	if err != nil {
		return err
	}
	// A hop has two for each connection.
	o.idle = min(wanted, (limit-spareDescriptors)/2)
	all := allScenarios(o)
	if o.aims {
		all = onlyAims(all)
	}
	scenarios, err := choose(all, o.scenarios, func(s scenario) string { return s.name })
	if err != nil {
		return fmt.Errorf("-scenarios: %w", err)
	}
	b, err := newBench(ctx, o, limit, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	contenders, err := choose(allContenders(b.relay, b.before, o.watched), o.contenders, func(c contender) string { return c.name })
	if err != nil {
		return fmt.Errorf("-contenders: %w", err)
	}
	report := newReport(ctx, b, contenders)
	if o.idle < wanted && slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == idleName }) {
		report.Notes = append(report.Notes, fmt.Sprintf("Of %d idle connections there are %d, "+
			"as a process may have only %d descriptors here.", wanted, o.idle, limit))
	}
	report.Scenarios = b.run(ctx, scenarios, contenders)
	if o.watched {
		report.Notes = append(report.Notes, b.watching.note())
	}
	report.Finished = time.Now().UTC().Truncate(time.Second)
	if err := report.write(o, stdout); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("interrupted; the figures are of the rounds before")
	}
	if n := report.failures(); n > 0 {
		return fmt.Errorf("measurements that failed: %d", n)
	}
	return nil
}

// choose returns the items with the names in wanted, or with names that begin so.
func choose[T any](all []T, wanted string, name func(T) string) ([]T, error) {
	if wanted == "" {
		return all, nil
	}
	taken := make([]bool, len(all))
	for prefix := range strings.SplitSeq(wanted, ",") {
		found := false
		whole := slices.ContainsFunc(all, func(item T) bool { return name(item) == prefix })
		for i, item := range all {
			if name(item) == prefix || !whole && strings.HasPrefix(name(item), prefix) {
				taken[i], found = true, true
			}
		}
		if !found {
			names := make([]string, len(all))
			for i, item := range all {
				names[i] = name(item)
			}
			return nil, fmt.Errorf("there is no %q; there are %s", prefix, strings.Join(names, ", "))
		}
	}
	var chosen []T
	for i, item := range all {
		if taken[i] {
			chosen = append(chosen, item)
		}
	}
	return chosen, nil
}
