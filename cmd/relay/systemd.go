package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// manager is the service manager that has started the process, if it wants to be told how that
// does, as systemd does with Type=notify and Type=notify-reload: see sd_notify(3). Without one
// nothing is sent.
type manager struct {
	log  *slog.Logger
	gone *atomic.Bool // the manager looks at another process, which has taken over
}

// send sends assignments in one message. A manager that cannot be told costs nobody anything
// but a line in the log.
func (m manager) send(assignments ...string) {
	if m.gone.Load() {
		return
	}
	if _, err := daemon.SdNotify(false, strings.Join(assignments, "\n")); err != nil {
		m.log.Warn("the service manager cannot be told how this process does", "error", err)
	}
}

// ready tells that the process serves, and what.
func (m manager) ready(status string) { m.send(daemon.SdNotifyReady, "STATUS="+oneLine(status)) }

// reloading tells that do reads settings again, and when that is done, with what it returns
// as the status.
func (m manager) reloading(do func() (status string)) {
	m.send(append([]string{daemon.SdNotifyReloading}, monotonicNow()...)...)
	m.ready(do())
}

// stopping tells that the process ends.
func (m manager) stopping(status string) {
	m.send(daemon.SdNotifyStopping, "STATUS="+oneLine(status))
}

// handOver tells that another process is the one to look at from now on.
func (m manager) handOver(pid int) {
	m.send(fmt.Sprintf("MAINPID=%d", pid), daemon.SdNotifyReady, "STATUS=another process takes over")
	m.gone.Store(true)
}

// maxStatus is how much of a status a person sees at once.
const maxStatus = 200

// oneLine returns the first line of a text: each line of a message is an assignment.
func oneLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return fmt.Sprintf("%.*s", maxStatus, text)
}

// errHangs is the error of a process that does not do what it is there for.
var errHangs = errors.New("it has not answered in time")

// watch tells the manager that the process works, twice in the time that it has for that, until
// stop is called. Works looks whether it does until its context is done. A process that does
// not is not vouched for, and the manager starts it again.
func (m manager) watch(works func(context.Context) error) (stop func()) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("the watchdog of the service manager is not told anything", "error", err)
	}
	if within <= 0 || err != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		m.vouch(ctx, within/2, works)
	}()
	return func() {
		cancel()
		<-stopped
	}
}

// vouch tells at each interval that the process works.
func (m manager) vouch(ctx context.Context, interval time.Duration, works func(context.Context) error) {
	next := time.NewTicker(interval)
	defer next.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, interval)
		err := works(look)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			m.send(daemon.SdNotifyWatchdog)
		default:
			m.log.Error("the process does not work, and the service manager is not told that it does", "error", err)
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			return
		}
	}
}

// lookout looks at what takes locks, and may hang for ever. One that hangs is waited for by
// the next look, and no second one is begun.
type lookout struct {
	look  func(context.Context) error
	going chan error // gets what the look under way finds; nil if there is none
}

// works looks once, until ctx is done. What a look has found that began before is of use only
// if it is good.
func (l *lookout) works(ctx context.Context) error {
	for {
		fresh := l.going == nil
		if fresh {
			l.going = make(chan error, 1)
			go func(going chan<- error) { going <- l.look(ctx) }(l.going)
		}
		select {
		case err := <-l.going:
			l.going = nil
			if err == nil || fresh {
				return err
			}
		case <-ctx.Done():
			return errHangs
		}
	}
}
