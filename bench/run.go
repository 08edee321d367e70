//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
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
	// mu guards stderr and the reports while contenders run at the same time.
	mu sync.Mutex
	// networks counts those that were made.
	networks atomic.Int64
	watching watching
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

// run measures everything, in rounds.
func (b *bench) run(ctx context.Context, scenarios []scenario, contenders []contender) []scenarioReport {
	var reports []scenarioReport
	for len(scenarios) > 0 {
		together := scenarios[0].together
		var group []*scenarioReport
		for len(group) == 0 || together != 0 && len(scenarios) > 0 && scenarios[0].together == together {
			s := scenarios[0]
			group = append(group, newScenarioReport(s, s.choose(contenders, b.contenders != "")))
			scenarios = scenarios[1:]
		}
		rounds := b.rounds
		if most := group[0].scenario.rounds; most > 0 {
			rounds = min(rounds, most)
		}
		for round := range rounds {
			if together != 0 {
				b.sideBySide(ctx, group, round)
			} else {
				b.inTurns(ctx, group[0], round)
			}
		}
		for _, report := range group {
			report.conclude()
			reports = append(reports, *report)
		}
	}
	return reports
}

// inTurns measures one contender after the other.
func (b *bench) inTurns(ctx context.Context, report *scenarioReport, round int) {
	count := len(report.Rows)
	for i := range count {
		// The first one finds the machine cooler, or warmer.
		at := (i + round) % count
		if round%2 == 1 {
			at = count - 1 - at // and each follows another one
		}
		b.runOne(ctx, report, at, round)
	}
}

// sideBySide measures all contenders at once. Their wires are slow, and leave the machine
// most of its time.
func (b *bench) sideBySide(ctx context.Context, group []*scenarioReport, round int) {
	var all sync.WaitGroup
	for _, report := range group {
		for at := range report.Rows {
			all.Go(func() { b.runOne(ctx, report, at, round) })
		}
	}
	all.Wait()
}

// runOne measures one contender, unless it is left out or has failed before.
func (b *bench) runOne(ctx context.Context, report *scenarioReport, at, round int) {
	s, c, row := report.scenario, report.contenders[at], &report.Rows[at]
	b.mu.Lock()
	done := row.LeftOut != "" || row.Error != "" || ctx.Err() != nil
	b.mu.Unlock()
	if done {
		return
	}
	m, err := b.measure(ctx, s, c, round)
	if ctx.Err() != nil {
		return // an interrupted measurement is of no use
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		row.Error = err.Error()
		fmt.Fprintf(b.stderr, "%-22s %-16s round %d failed: %v\n", s.name, c.name, round+1, err)
		return
	}
	f := s.figures(m)
	if c.name == "direct" { // it has no hops
		for _, key := range []string{"cpu", "near", "far"} {
			delete(f, key)
		}
	}
	row.Rounds = append(row.Rounds, f)
	fmt.Fprintf(b.stderr, "%-22s %-16s round %d", s.name, c.name, round+1)
	for _, column := range s.columns {
		if value, ok := f[column.Key]; ok {
			fmt.Fprintf(b.stderr, "  %.*f %s", column.Digits, value, column.Title)
		}
	}
	fmt.Fprint(b.stderr, "\n")
}

// measure starts everything for one measurement, and ends it.
func (b *bench) measure(ctx context.Context, s scenario, c contender, round int) (m measurement, err error) {
	dir, err := os.MkdirTemp(b.dir, c.name+"-")
	if err != nil {
		return m, fmt.Errorf("making a directory: %w", err)
	}
	at := &site{near: place{host: loopback}, far: place{host: loopback}, dir: dir, relay: c.relay, ports: b.ports, limit: b.limit}
	var n *network
	if s.wire != nil {
		conditions := *s.wire
		conditions.Seed = uint64(round)
		n, err = newNetwork(ctx, b.networks.Add(1), conditions)
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
	at.server = backend
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
	if c.watched {
		if err := running.watch(ctx, b, at); err != nil {
			return m, err
		}
	}
	m, err = b.underLoad(ctx, s, c, at, running, n)
	if err == nil {
		err = running.watched()
	}
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
func (b *bench) underLoad(ctx context.Context, s scenario, c contender, at *site, running *setup, n *network) (m measurement, err error) {
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
		if n != nil {
			n.wire.DrawAgain()
		}
		if line, err = b.between(ctx, s, at, running, load, &m); err != nil {
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
func (b *bench) between(ctx context.Context, s scenario, at *site, running *setup, load *process, m *measurement) (string, error) {
	near, far, err := running.usage()
	if err != nil {
		return "", err
	}
	around, err := usageOf([]*process{at.server, load})
	if err != nil {
		return "", err
	}
	began := time.Now()
	watcher, err := usageOf(running.watchers())
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
	aroundAfter, err := usageOf([]*process{at.server, load})
	if err != nil {
		return "", err
	}
	m.around = aroundAfter.minus(around)
	watcherAfter, err := usageOf(running.watchers())
	if err != nil {
		return "", err
	}
	if running.watcher != nil {
		b.watching.add(watcherAfter.minus(watcher).cpu, time.Since(began))
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
