package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"

	"github.com/seed96252745/relay/internal/checker"
)

// flags makes a set that prints what is wrong, and does not end the process.
func flags(name string, stderr io.Writer) *flag.FlagSet {
	set := flag.NewFlagSet("player "+name, flag.ContinueOnError)
	set.SetOutput(stderr)
	return set
}

// parse takes flags, and nothing behind them.
func parse(set *flag.FlagSet, args []string) error {
	if set.Parse(args) != nil {
		return errUsage
	}
	if set.NArg() > 0 {
		fmt.Fprintf(set.Output(), "%s takes flags only, and not %q\n", set.Name(), set.Args())
		return errUsage
	}
	return nil
}

// appendTo opens a file of records. Several runs may share one.
func appendTo(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
}

func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set := flags("serve", stderr)
	listen := set.String("listen", "127.0.0.1:0", "address to listen on")
	records := set.String("records", "server.jsonl", "file to append records to")
	var c checker.ServeConfig
	set.DurationVar(&c.Banner, "banner", checker.Banner, "speak first to users who are silent for so long; below 0, at once")
	set.DurationVar(&c.Stall, "stall", checker.Patience, "give up connections on which nothing moves for so long")
	set.DurationVar(&c.Grace, "grace", checker.Grace, "at the end, wait so long for connections that have begun")
	if err := parse(set, args); err != nil {
		return err
	}
	file, err := appendTo(*records)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening %s\n", l.Addr())
	c.Records = file
	return checker.Serve(ctx, l, c)
}

func use(ctx context.Context, args []string, stderr io.Writer) error {
	set := flags("use", stderr)
	records := set.String("records", "users.jsonl", "file to append records to")
	modes := set.String("modes", "echo", "modes to take in turn, with commas between them, or all")
	var c checker.UseConfig
	set.StringVar(&c.To, "to", "", "address to connect to")
	set.StringVar(&c.SourceIP, "source-ip", "", "address to connect from")
	set.IntVar(&c.Users, "users", 0, "how many users; 0 for as many as come within the duration")
	set.IntVar(&c.Parallel, "parallel", 1, "how many at a time")
	set.Float64Var(&c.Rate, "rate", 0, "how many may come each second; 0 for no limit")
	set.DurationVar(&c.Duration, "duration", 0, "how long new ones come; 0 for until all have")
	set.Int64Var(&c.Up, "up", 0, "bytes from the user, where the mode has some")
	set.Int64Var(&c.Down, "down", 0, "bytes from the server, where the mode has some")
	set.BoolVar(&c.Vary, "vary", false, "draw sizes up to those of --up and --down")
	set.DurationVar(&c.Linger, "linger", 0, "how long the mode's pause is, or its slow side takes")
	set.DurationVar(&c.Stall, "stall", checker.Patience, "give up connections on which nothing moves for so long")
	set.Uint64Var(&c.Seed, "seed", 1, "what sizes and bytes follow from")
	set.Uint64Var(&c.Run, "run", rand.Uint64(), "what tells runs with one seed apart; random")
	err := parse(set, args)
	if err != nil {
		return err
	}
	if c.Modes, err = parseModes(*modes); err != nil {
		return err
	}
	file, err := appendTo(*records)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	c.Records = file
	return checker.Use(ctx, c)
}

func parseModes(list string) ([]checker.Mode, error) {
	if list == "all" {
		return checker.Modes(), nil
	}
	var modes []checker.Mode
	for name := range strings.SplitSeq(list, ",") {
		mode, err := checker.ParseMode(name)
		if err != nil {
			return nil, err
		}
		modes = append(modes, mode)
	}
	return modes, nil
}

func verify(args []string, stdout, stderr io.Writer) error {
	set := flags("verify", stderr)
	clean := set.Bool("clean", false, "no connection may fail")
	var rules checker.Rules
	set.BoolVar(&rules.Faulty, "faulty", false, "connections may fail, but have to say so")
	set.BoolVar(&rules.Stalls, "stalls", false, "connections may hang, too")
	if set.Parse(args) != nil {
		return errUsage
	}
	if *clean == rules.Faulty || set.NArg() == 0 {
		fmt.Fprintf(stderr, "player verify --clean or --faulty, and files of records\n")
		return errUsage
	}
	var files []io.Reader
	for _, name := range set.Args() {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		files = append(files, file)
	}
	report, err := checker.Verify(rules, files...)
	if err != nil {
		return err
	}
	return tell(report, stdout, stderr)
}

// maxTold is how many violations are printed. One cause has many, and the first
// ones say what there is to say.
const maxTold = 100

func tell(report *checker.Report, stdout, stderr io.Writer) error {
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(report.Summary); err != nil {
		return err
	}
	for i, violation := range report.Violations {
		if i == maxTold {
			fmt.Fprintf(stderr, "and %d more\n", len(report.Violations)-i)
			break
		}
		fmt.Fprintf(stderr, "%v\n", violation)
	}
	if report.Summary.Users == 0 {
		return errors.New("there were no users, so nothing was verified")
	}
	if n := len(report.Violations); n > 0 {
		return fmt.Errorf("%d violations", n)
	}
	return nil
}
