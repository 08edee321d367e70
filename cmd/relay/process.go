package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/admin"
	"github.com/seed96252745/relay/internal/lossy"
	"github.com/seed96252745/relay/internal/upgrade"
)

// process is what runs: a relay, a forwarder, or both. One signal ends both, and they drain
// side by side.
type process struct {
	setup     atomic.Pointer[setup] // in force
	log       *slog.Logger
	level     *slog.LevelVar
	drain     func()         // does what the first signal does
	relay     *relayPart     // or nil
	forwarder *forwarderPart // or nil
	reloader  *reloader      // nil without a file
	manager   manager
	link      *upgrade.Link // to the process from which this one takes over, or nil
	upgrades  upgrades
	closers   []func() // the last one first
}

// outputs are where a process writes to.
type outputs struct{ stdout, stderr io.Writer }

// source is a file that a setup comes from.
type source struct {
	load func() (*setup, error)
	seen [sha256.Size]byte // of its content when it was loaded
}

// runSetup runs what a setup has until ctx is done, and drains. Without a file from is nil.
func runSetup(ctx context.Context, s *setup, out outputs, from *source) error {
	if ctx.Err() != nil {
		return nil // a signal came first
	}
	link, err := upgrade.Inherited() // first: it says where the log goes
	if err != nil {
		return err
	}
	p, lines := newProcess(s, out.stderr, from)
	p.link = link
	defer lines.Close(flushWait)
	warn(p.log, s.notes)
	ctx, p.drain = untilDrained(ctx)
	defer p.drain()
	defer p.close()
	if err := p.open(out.stdout, lines.Dropped); err != nil {
		return p.failed(err)
	}
	return p.run(ctx)
}

// newProcess returns a process that has opened nothing yet, and where its log goes.
func newProcess(s *setup, stderr io.Writer, from *source) (*process, *lossy.Writer) {
	p := &process{level: new(slog.LevelVar)}
	p.setup.Store(s)
	p.level.Set(parseLevel(s.process.logLevel))
	log, lines := newLogger(stderr, p.level, s.process.logFormat)
	p.log, p.manager = log, manager{log: log, gone: new(atomic.Bool)}
	if from != nil {
		p.reloader = newReloader(p, from)
	}
	return p, lines
}

// close ends what open has begun.
func (p *process) close() {
	for len(p.closers) > 0 {
		last := len(p.closers) - 1
		p.closers[last]()
		p.closers = p.closers[:last]
	}
}

func (p *process) onClose(do func()) { p.closers = append(p.closers, do) }

// open opens what the setup has, and how its operator sees it. The relay comes first: a
// service may use it.
func (p *process) open(stdout io.Writer, linesDropped func() int64) (err error) {
	s := p.setup.Load()
	if p.link != nil && s.relay == nil {
		return errNoRelay
	}
	if s.relay != nil {
		s.relay.flags.linesDropped = linesDropped
		if p.relay, err = openRelay(s.relay, p.link, p.log); err != nil {
			return s.relay.flags.renamed(err)
		}
		p.onClose(p.relay.close)
	}
	if len(s.services) > 0 {
		printed := newPrinted(stdout, p.log)
		p.onClose(func() { printed.Close(flushWait) })
		if p.forwarder, err = openForwarder(s, printed, p.log, p.drain); err != nil {
			return err
		}
		p.onClose(p.forwarder.close)
	}
	if err := p.openAdmin(); err != nil {
		return err
	}
	return p.takeOver() // last: nothing can be wrong after it
}

// openAdmin opens what an operator sees and tells the process by.
func (p *process) openAdmin() error {
	if p.relay != nil {
		if err := p.relay.startAdmin(true, p.drain, p.shown, p.upgrade); err != nil {
			return p.setup.Load().relay.flags.renamed(err)
		}
		p.onClose(p.relay.seenAt.stop)
	}
	if p.forwarder != nil {
		stop, err := p.forwarder.startAdmin(p.relay == nil, p.shown)
		if err != nil {
			return p.forwarder.flags.renamed(err)
		}
		p.onClose(stop)
	}
	p.onClose(logState(p.log, p.state))
	p.onClose(p.onReloadSignal())
	return nil
}

// shown returns a node as the process shows it.
func (p *process) shown(n admin.Node) admin.Node {
	if p.reloader == nil {
		return n
	}
	return reloadedNode{n, p.reloader}
}

// state returns what an operator asks for with a signal.
func (p *process) state() slog.LogValuer { return processState{p} }

type processState struct{ *process }

// LogValue has the values of a relay and of a forwarder side by side.
func (s processState) LogValue() slog.Value {
	switch {
	case s.relay == nil:
		return s.forwarder.node.LogValue()
	case s.forwarder == nil:
		return s.relay.server.State().LogValue()
	}
	return slog.GroupValue(slog.Any("relay", s.relay.server.State()), slog.Any("forwarder", s.forwarder.node))
}

// run runs what is open until ctx is done, and then drains. If the relay or the forwarder ends
// by itself the other one drains, too.
func (p *process) run(ctx context.Context) error {
	ended := make(chan error, 2)
	running := 0
	begin := func(run func(context.Context) error) {
		running++
		go func() { ended <- run(ctx) }()
	}
	if p.relay != nil {
		begin(p.relay.serve)
	}
	if p.forwarder != nil {
		begin(p.forwarder.run)
	}
	if p.reloader != nil {
		defer p.reloader.watch()()
	}
	p.manager.ready(p.what())
	p.upgrades.allow(ctx)
	unwatch := p.manager.watch((&lookout{look: p.works}).works)
	var err error
	select {
	case err = <-ended: // of a forwarder after a signal, only if no connection was left
		running--
		if running > 0 && ctx.Err() == nil {
			p.drain()
		}
	case <-ctx.Done():
	}
	unwatch() // which is for a process that serves
	if p.reloader != nil {
		p.reloader.stop() // a change of the file means nothing any more
	}
	p.upgrades.stop()
	p.manager.stopping("connections that move may finish, for " + p.setup.Load().process.drain.String() + " at most")
	if running > 0 {
		logShutdown(p.log, p.setup.Load().process.drain)
	}
	for ; running > 0; running-- {
		err = errors.Join(err, <-ended)
	}
	return err
}

// onReloadSignal has SIGHUP read again what is read again, until stop is called.
func (p *process) onReloadSignal() (stop func()) {
	switch {
	case p.reloader != nil:
		return onSignal(reloadSignal, func() { _ = p.reloader.reload("SIGHUP") }) // it logs its errors
	case p.relay != nil && p.setup.Load().relay.flags.config.Tokens != nil:
		tokens := p.setup.Load().relay.flags.config.Tokens
		return onSignal(reloadSignal, func() { p.again(tokens.Reload) }) // it logs its errors
	case p.forwarder != nil && p.forwarder.flags.owner.tokenFile != "":
		return onSignal(reloadSignal, func() { p.again(func() error { return reload(p.forwarder.node, p.log) }) })
	}
	return func() {}
}

// again has do read something again, and tells the service manager.
func (p *process) again(do func() error) {
	p.manager.reloading(func() (status string) {
		if err := do(); err != nil {
			return err.Error()
		}
		return p.what()
	})
}

// what returns what the process does, in a few words.
func (p *process) what() string {
	var parts []string
	if p.relay != nil {
		now := p.relay.about()
		parts = append(parts, fmt.Sprintf("relay at %s, public ports %s", now.Control, now.Ports))
	}
	if p.forwarder != nil {
		s := p.setup.Load().services
		parts = append(parts, fmt.Sprintf("forwarder to %s, services: %d", s[0].relay, len(s)))
	}
	return strings.Join(parts, "; ")
}

// works looks whether what runs does what it is there for.
func (p *process) works(ctx context.Context) error {
	if p.relay != nil {
		if err := p.relay.server.Works(ctx); err != nil {
			return fmt.Errorf("the relay: %w", err)
		}
	}
	if p.forwarder != nil {
		if err := p.forwarder.node.Works(ctx); err != nil {
			return fmt.Errorf("the forwarder: %w", err)
		}
	}
	return nil
}
