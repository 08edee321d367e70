package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/upgrade"
)

// upgrades are the handovers of a process to another one, one at a time. The zero value allows
// none.
type upgrades struct {
	mu     sync.Mutex // held during a handover
	during context.Context
	cancel context.CancelFunc // ends the one under way
}

// Why there is no upgrade.
var (
	errNotYet    = errors.New("the process has just been started, or is about to end")
	errUpgrading = errors.New("an upgrade is under way already")
	errUpgraded  = errors.New("another process has taken over from this one already: relay upgrade asks that one")
	errPIDOne    = errors.New("this process has the ID 1, as in a container, which ends with it: start another container, and stop this one")
	errNoRelay   = errors.New("the file that it reads makes it no relay any more")
	errForwards  = errors.New("this process has services: start it again, which costs their users the time that takes; a relay without services can be upgraded")
)

// allow allows upgrades until stop, or ctx is done.
func (u *upgrades) allow(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.during, u.cancel = context.WithCancel(ctx)
}

// stop ends an upgrade that is under way, and allows no other one.
func (u *upgrades) stop() {
	u.cancel()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.during = nil
}

// upgrade starts the program that is at the path of this one now, and has it take over. When it
// has, this process goes on with the users that it has, and ends with the last of them. After
// an error all is as it was.
func (p *process) upgrade(context.Context) (done api.Upgrade, err error) {
	if !p.upgrades.mu.TryLock() {
		return done, errUpgrading
	}
	defer p.upgrades.mu.Unlock()
	ctx := p.upgrades.during
	switch {
	case ctx == nil || ctx.Err() != nil:
		return done, errNotYet
	case p.relay.next.Load() != nil:
		return done, errUpgraded
	case os.Getpid() == 1:
		return done, errPIDOne
	case p.forwarder != nil:
		return done, errForwards
	}
	p.manager.reloading(func() (status string) {
		if done, err = p.relay.handOver(ctx); err != nil {
			return "the upgrade has failed: " + err.Error()
		}
		p.manager.handOver(done.PID)
		return ""
	})
	if err != nil {
		p.log.Error("the upgrade has failed: this process goes on", "error", err)
		return done, err
	}
	if p.reloader != nil {
		p.reloader.stop() // the file is the other process's
	}
	return done, nil
}

// program returns what to start in place of this process: what is at the path now by which it
// was started. Where a file is that has been moved aside would be the old program's place.
func program() (upgrade.Command, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		path, err = os.Executable() // it was started under another name
	}
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return upgrade.Command{}, fmt.Errorf("there is no program to start: %w", err)
	}
	return upgrade.Command{Path: path, Args: os.Args, Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}, nil
}

// handOver has a new process take over.
func (p *relayPart) handOver(ctx context.Context) (done api.Upgrade, err error) {
	command, err := program()
	if err != nil {
		return done, err
	}
	heir, err := upgrade.Start(command)
	if err != nil {
		return done, fmt.Errorf("the new process: %w", err)
	}
	p.log.Info("a new process takes over", "pid", heir.PID(), "program", command.Path)
	h := node.Handover{
		Server: p.server, Leases: p.leases, Place: p.place(), From: p.from, Log: p.log,
		Listeners: map[string]node.Sharer{"control": p.listener},
		Let:       func() { p.logAdmin(p.seenAt.let()) },
		Unlet:     func() { p.logAdmin(p.seenAt.unlet()) },
	}
	if p.ssh != nil {
		h.Listeners["ssh"] = p.ssh
	}
	if tcp, ok := p.seenAt.tcp.(syscall.Conn); ok {
		h.Listeners[p.seenAt.name] = node.Shared{Conn: tcp}
	}
	users := p.server.Totals().Users
	next, err := h.Run(ctx, heir)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(errNotYet, err)
		}
		return done, fmt.Errorf("the new process does not take over: %w", err)
	}
	p.next.Store(next)
	p.admin.SetAbout(p.about())
	p.seenAt.leave()
	drain := p.now.Load().flags.upgradeDrain
	p.log.Info("another process has taken over; this one goes on with the users that it has", "pid", next.PID(),
		"users", users, "relayClientsTold", next.Told, "relayClientsUntold", next.Untold, "upgradeDrain", drain.String())
	return api.Upgrade{
		PID: next.PID(), OldPID: os.Getpid(), Told: next.Told, Untold: next.Untold, Users: users, DrainSeconds: int64(drain / time.Second),
	}, nil
}

func (p *relayPart) logAdmin(err error) {
	if err != nil {
		p.log.Warn("the admin socket cannot be moved", "error", err)
	}
}

// inherit asks the process from which this one takes over for what it has.
func (p *relayPart) inherit(link *upgrade.Link) (err error) {
	if p.from, err = node.Inherit(link, p.place()); err != nil {
		return err
	}
	if p.listener, err = p.from.Relay("control"); err != nil {
		return err
	}
	if p.now.Load().flags.sshListen != "" {
		if p.ssh, err = p.from.Relay("ssh"); err != nil {
			if err = p.listenSSH(); err != nil { // the process before had none
				return err
			}
		}
	}
	return p.openLeases(p.now.Load().flags)
}

// takeOver says to the process from which this one takes over, if there is one, that this one is
// ready, and begins when the other one has let go.
func (p *process) takeOver() error {
	if p.link == nil {
		return nil
	}
	if err := p.relay.from.Ready(); err != nil {
		return err
	}
	p.relay.from.Begin(p.relay.server)
	return nil
}

// failed returns an error of the start, and says it to the process from which this one was to
// take over.
func (p *process) failed(err error) error {
	if p.link != nil {
		_ = p.link.Send(upgrade.Message{Kind: upgrade.Failed, Text: err.Error()}, -1) // fails if that one has ended
	}
	return err
}

// lingerInterval is how often the log says for what a process waits from which another one has
// taken over.
const lingerInterval = 10 * time.Minute

// linger goes on with what another process cannot take over, until nothing is left, ctx is done,
// or --upgradeDrain is over: then it reports false.
func (p *relayPart) linger(ctx context.Context) bool {
	var over <-chan time.Time
	if limit := p.now.Load().flags.upgradeDrain; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	next := time.NewTicker(lingerInterval)
	defer next.Stop()
	for {
		select {
		case <-p.server.Deserted():
			p.log.Info("the last user has ended since another process has taken over")
			return true
		case <-ctx.Done():
			return true
		case <-over:
			s := p.server.State()
			p.log.Warn("connections that had not finished are reset: --upgradeDrain is over", "users", s.Users, "tunnels", s.Tunnels)
			return false
		case <-next.C:
			s := p.server.State()
			p.log.Info("this process waits for its users since another one has taken over", "users", s.Users, "tunnels", s.Tunnels, "ports", s.Ports)
		}
	}
}
