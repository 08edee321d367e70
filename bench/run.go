//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	loopback = "127.0.0.1"
	// settle is how long programs may take to free memory before it is measured.
	settle = 2 * time.Second
	// spareDescriptors is for what a program has beside its connections.
	spareDescriptors = 1200
)

// bench is what all measurements have in common.
type bench struct {
	options
	dir    string // temporary
	self   string // this program
	relay  string // the command
	commit string // what it was built from, if it was
	limit  int    // descriptors that a process may have
	ports  *ports
	stderr io.Writer
}

func newBench(ctx context.Context, o options, limit int, stderr io.Writer) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "relay-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a temporary directory: %w", err)
	}
	b := &bench{options: o, dir: dir, self: self, relay: o.relay, limit: limit, ports: newPorts(), stderr: stderr}
	if b.relay == "" {
		b.relay, b.commit, err = buildRelay(ctx, dir)
	} else {
		b.relay, err = filepath.Abs(b.relay)
	}
	if err == nil && o.before != "" {
		b.before, err = filepath.Abs(o.before)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// buildRelay builds the command of the module that is around this one.
func buildRelay(ctx context.Context, dir string) (path, commit string, err error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", "", fmt.Errorf("finding the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	if filepath.Base(root) == "bench" {
		root = filepath.Dir(root)
	}
	path = filepath.Join(dir, "relay")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/relay")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("building relay in %s: %w: %s", root, err, bytes.TrimSpace(out))
	}
	describe := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	describe.Dir = root
	if out, err := describe.Output(); err == nil { // otherwise it is no clone
		commit = string(bytes.TrimSpace(out))
	}
	return path, commit, nil
}

// raiseLimit lets this program and those that it starts have so many descriptors, or as
// many as it may, and returns how many those are.
func raiseLimit(wanted int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("how many descriptors there may be: %w", err)
	}
	more := unix.Rlimit{Cur: max(uint64(wanted), limit.Max), Max: max(uint64(wanted), limit.Max)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &more) == nil {
		return int(more.Cur), nil
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("having %d descriptors: %w", limit.Max, err)
	}
	return int(limit.Cur), nil
}

// run measures everything, in rounds.
func (b *bench) run(ctx context.Context, scenarios []scenario, contenders []contender) []scenarioReport {
	var reports []scenarioReport
	for _, s := range scenarios {
		report := newScenarioReport(s, contenders)
		for round := range b.rounds {
			for i := range contenders {
				// The first one finds the machine cooler, or warmer.
				at := (i + round) % len(contenders)
				if round%2 == 1 {
					at = len(contenders) - 1 - at // and each follows another one
				}
				if row := &report.Rows[at]; row.LeftOut == "" && row.Error == "" && ctx.Err() == nil {
					b.runOne(ctx, s, contenders[at], round, row)
				}
			}
		}
		report.conclude(s)
		reports = append(reports, report)
	}
	return reports
}

func (b *bench) runOne(ctx context.Context, s scenario, c contender, round int, row *row) {
	m, err := b.measure(ctx, s, c)
	if ctx.Err() != nil {
		return // an interrupted measurement is of no use
	}
	if err != nil {
		row.Error = err.Error()
		fmt.Fprintf(b.stderr, "%-18s %-16s round %d failed: %v\n", s.name, c.name, round+1, err)
		return
	}
	f := s.figures(m)
	if c.name == "direct" {
		delete(f, "cpu") // it has no hops
	}
	row.Rounds = append(row.Rounds, f)
	fmt.Fprintf(b.stderr, "%-18s %-16s round %d", s.name, c.name, round+1)
	for _, column := range s.columns {
		if value, ok := f[column.Key]; ok {
			fmt.Fprintf(b.stderr, "  %.*f %s", column.Digits, value, column.Title)
		}
	}
	fmt.Fprint(b.stderr, "\n")
}

// measure starts everything for one measurement, and ends it.
func (b *bench) measure(ctx context.Context, s scenario, c contender) (m measurement, err error) {
	dir, err := os.MkdirTemp(b.dir, c.name+"-")
	if err != nil {
		return m, fmt.Errorf("making a directory: %w", err)
	}
	at := &site{near: place{host: loopback}, far: place{host: loopback}, dir: dir, relay: c.relay, ports: b.ports, limit: b.limit}
	if s.wire {
		n, err := newNetwork(ctx)
		if err != nil {
			return m, fmt.Errorf("laying a wire: %w", err)
		}
		defer func() { err = errors.Join(err, n.close()) }()
		at.near, at.far = n.near, n.far
		defer func() { m.late = n.wire.LatePercent() }()
	}
	backend, err := start(at.far.command(b.self, "backend", at.far.host))
	if err != nil {
		return m, err
	}
	defer backend.kill()
	if at.backend, err = backend.line(ctx, startPatience); err != nil {
		return m, err
	}
	far := 1
	if s.far != nil {
		far = s.far(c)
	}
	running, err := c.start(ctx, at, far)
	defer running.stop()
	if err != nil {
		return m, fmt.Errorf("starting %s: %w", c.name, err)
	}
	m, err = b.underLoad(ctx, s, c, at, running)
	if err != nil {
		return m, errors.Join(err, said(backend.errors.String()), said(running.complaints()))
	}
	return m, nil
}

func said(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// underLoad measures a contender that runs.
func (b *bench) underLoad(ctx context.Context, s scenario, c contender, at *site, running *setup) (m measurement, err error) {
	spec := s.load
	spec.Addrs, spec.Control, spec.Protocol = running.addrs, running.control, c.protocol
	arg, err := json.Marshal(spec)
	if err != nil {
		return m, fmt.Errorf("telling the load generator: %w", err)
	}
	load, err := start(at.near.command(b.self, "load", string(arg)))
	if err != nil {
		return m, err
	}
	defer load.kill()
	line, err := load.line(ctx, 2*startPatience+patience)
	if err != nil {
		return m, err
	}
	if line == readyLine {
		if line, err = b.between(ctx, s, running, load, &m); err != nil {
			return m, err
		}
	}
	if err := json.Unmarshal([]byte(line), &m.load); err != nil {
		return m, fmt.Errorf("the load generator said %q: %w", line, err)
	}
	if m.load.Error != "" {
		return m, errors.New(m.load.Error)
	}
	return m, nil
}

// between runs the load, and measures what the hops use meanwhile. It returns the load
// generator's last line.
func (b *bench) between(ctx context.Context, s scenario, running *setup, load *process, m *measurement) (string, error) {
	near, far, err := running.usage()
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(load.stdin, "go\n"); err != nil {
		return "", fmt.Errorf("starting the load: %w", err)
	}
	// Twice the time, because there may be two phases. And all that is under way has to
	// arrive.
	longest := time.Duration(2*s.load.Seconds*float64(time.Second)) + 2*patience
	line, err := load.line(ctx, longest)
	if err != nil {
		return "", err
	}
	if s.settles {
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for memory to settle: %w", context.Cause(ctx))
		}
	}
	nearAfter, farAfter, err := running.usage()
	m.near, m.far = nearAfter.minus(near), farAfter.minus(far)
	return line, err
}

func (s *setup) usage() (near, far usage, err error) {
	if near, err = usageOf(s.near); err != nil {
		return near, far, err
	}
	far, err = usageOf(s.far)
	return near, far, err
}
