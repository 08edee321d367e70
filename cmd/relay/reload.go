package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/config"
)

// reloader puts in force what the file of a process says, one time after the other. A file
// with a fault changes nothing. Make it with newReloader.
type reloader struct {
	process *process
	load    func() (*setup, error)
	path    string

	mu      sync.Mutex        // held while the file is read and put in force
	stopped bool              // the process ends; guarded by mu
	seen    [sha256.Size]byte // of the content of the file when it was read last; guarded by mu

	statusMu sync.Mutex // guards what follows
	status   api.Config
	failed   time.Time // since when the file has a fault
}

func newReloader(p *process, from *source) *reloader {
	path := p.setup.Load().file.Path
	return &reloader{process: p, load: from.load, path: path, seen: from.seen, status: api.Config{File: path, Loaded: time.Now().UTC()}}
}

// errStopped is the error of a reload while the process ends.
var errStopped = errors.New("the process is shutting down, and reads nothing again")

// stop has reloads do nothing from now on. It waits for one that is under way.
func (r *reloader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// reload reads the file, and what it names, and puts all of it in force, or nothing. It logs
// what becomes of that. Why is what asks for it.
func (r *reloader) reload(why string) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return errStopped
	}
	r.process.again(func() error {
		err = r.tryLocked(why)
		return err
	})
	return err
}

// tryLocked is reload while mu is held.
func (r *reloader) tryLocked(why string) error {
	changed, err := r.reloadLocked()
	r.note(err)
	log := r.process.log.With("file", r.path, "because", why)
	switch {
	case err != nil:
		log.Error("the file was not loaded: what was in force before stays so", "error", err)
	case len(changed) == 0:
		log.Info("the file was loaded: no setting has changed, and the files that it names were read again")
	default:
		log.Info("the file was loaded", "changed", strings.Join(changed, " "))
	}
	return err
}

func (r *reloader) reloadLocked() (changed []string, err error) {
	r.seen = sumOf(r.path) // first: what is written meanwhile is another change
	changed, use, err := r.prepareLocked()
	if err != nil {
		return nil, err
	}
	return changed, use()
}

// prepareLocked reads the file, and what it names, and returns which settings are others than
// those in force, and what puts them in force.
func (r *reloader) prepareLocked() (changed []string, use func() error, err error) {
	next, err := r.load()
	if err != nil {
		return nil, nil, withoutUsage(err)
	}
	changed, faults := compare(r.process.setup.Load(), next)
	if err := config.Join(r.path, faults...); err != nil {
		return nil, nil, err
	}
	use, err = r.process.prepare(next)
	return changed, use, err
}

// isMended reports whether a file that could not be put in force could be now, though it has
// not changed: what was wrong may have been in another file, which it names.
func (r *reloader) isMended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, problem := r.config(); r.stopped || problem == nil {
		return false
	}
	_, _, err := r.prepareLocked()
	return err == nil
}

// withoutUsage returns the error of a file without what to type.
func withoutUsage(err error) error {
	var usage *usageError
	if errors.As(err, &usage) {
		return errors.New(usage.wrong)
	}
	return err
}

// prepare reads what a setup names, and returns what puts it in force.
func (p *process) prepare(next *setup) (use func() error, err error) {
	useRelay, useForwarder := func() {}, func() error { return nil }
	if p.relay != nil {
		next.relay.flags.linesDropped = p.setup.Load().relay.flags.linesDropped
		if useRelay, err = p.relay.prepare(next.relay); err != nil {
			return nil, config.Join(next.file.Path, next.relay.flags.faultOf(err, "server"))
		}
	}
	if p.forwarder != nil {
		if useForwarder, err = p.forwarder.prepare(next); err != nil {
			return nil, fmt.Errorf("%s: %w", next.file.Path, err)
		}
	}
	return func() error {
		useRelay()
		p.level.Set(parseLevel(next.process.logLevel))
		p.setup.Store(next)
		return useForwarder()
	}, nil
}

// faultOf returns an error that begins with the flag that it is about as a fault of the file.
func (f *flags) faultOf(err error, table string) config.Fault {
	text := err.Error()
	name, rest, ok := strings.Cut(strings.TrimPrefix(text, "--"), ": ")
	if flag := lookup(name, f.all()...); !strings.HasPrefix(text, "--") || !ok || flag == nil {
		return faultAt(f.file, table, f.rename(text), "")
	}
	return faultAt(f.file, cmp.Or(f.from[name].key, table+"."+name), f.rename(rest), "")
}

// faultAt returns a fault of a key: in its line, or in that of its table if the file does not
// have it.
func faultAt(file *config.File, key, wrong, right string) config.Fault {
	fault := file.Fault(key, wrong, right)
	for table := key; fault.Line == 0 && strings.Contains(table, "."); {
		table = table[:strings.LastIndexByte(table, '.')]
		fault.Position = file.At(table)
	}
	return fault
}

// note keeps how the last reload went, for the status.
func (r *reloader) note(err error) {
	r.statusMu.Lock()
	defer r.statusMu.Unlock()
	if err == nil {
		r.status.Loaded, r.status.Error, r.failed = time.Now().UTC(), "", time.Time{}
		return
	}
	if r.status.Error = err.Error(); r.failed.IsZero() {
		r.failed = time.Now().UTC()
	}
}

// config returns the file as the status has it, and the problem that there is with it, if any.
func (r *reloader) config() (c api.Config, problem []api.Problem) {
	r.statusMu.Lock()
	defer r.statusMu.Unlock()
	if r.status.Error != "" {
		since := r.failed
		problem = []api.Problem{{Code: "config_invalid", Since: &since, Text: fmt.Sprintf(
			"%s is not in force, and what was before stays so: mend it, and it is loaded: %s", r.path, r.status.Error)}}
	}
	return r.status, problem
}

// reloadedNode is a node of a process that runs by a file.
type reloadedNode struct {
	admin.Node
	reloader *reloader
}

// Status adds the file.
func (n reloadedNode) Status() api.Status {
	s := n.Node.Status()
	c, problem := n.reloader.config()
	s.Config, s.Problems = &c, append(s.Problems, problem...)
	return s
}

// Reload loads the file.
func (n reloadedNode) Reload() error { return n.reloader.reload("the admin API") }
