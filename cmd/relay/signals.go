package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// forceWait is how long the process may take to end after the second signal. It resets and
// logs connections, which takes milliseconds.
const forceWait = 5 * time.Second

// untilSignal returns a context that is done at the first SIGINT or SIGTERM, which asks for
// a graceful end. At the second one connections are reset (see onSecondSignal). If that
// takes too long, or at the third one, the process exits at once: its connections are
// reset then, and nothing is logged. Stop ends the handling of signals.
func untilSignal(parent context.Context) (_ context.Context, stop func()) {
	second, forceClose := context.WithCancel(context.WithoutCancel(parent))
	drained := make(chan struct{})
	ctx := context.WithValue(parent, secondSignal{}, second)
	ctx = context.WithValue(ctx, firstSignal{}, sync.OnceFunc(func() { close(drained) }))
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var overdue <-chan time.Time
		asked := drained // in place of the first signal only
		for _, heard := range []func(){cancel, forceClose, exit} {
			select {
			case <-signals:
			case <-asked:
			case <-overdue:
			case <-stopped:
				return
			}
			asked = nil
			heard()
			if second.Err() != nil {
				overdue = time.After(forceWait)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		<-ended
		cancel()
		forceClose()
	}
}

func exit() { os.Exit(exitOK) }

// outliveReaders has the process go on when nobody reads its outputs any more: writing to
// them then fails instead of ending the process. A relay or a forwarder serves others than
// the operator who looked at its first line.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }

// firstSignal is the key of the function that does what the first signal does.
type firstSignal struct{}

// untilDrained returns a context that is done when drain is called, which is what the first
// signal does: the next signal is the second one then.
func untilDrained(ctx context.Context) (_ context.Context, drain func()) {
	if first, ok := ctx.Value(firstSignal{}).(func()); ok {
		return ctx, first
	}
	return context.WithCancel(ctx)
}

// secondSignal is the key of the context that is done at the second signal, in the context
// of untilSignal: that one passes through cobra.
type secondSignal struct{}

// onSecondSignal logs the second signal, and calls forceClose then. Stop ends that.
func onSecondSignal(ctx context.Context, log *slog.Logger, forceClose func()) (stop func() bool) {
	second, ok := ctx.Value(secondSignal{}).(context.Context)
	if !ok {
		second = context.Background()
	}
	return context.AfterFunc(second, func() {
		log.Warn("a second signal: connections are reset")
		forceClose()
	})
}

// onSignal calls do at each signal of a kind, until stop is called.
func onSignal(sig os.Signal, do func()) (stop func()) {
	signals := make(chan os.Signal, 1) // two at once count as one
	signal.Notify(signals, sig)
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-signals:
				do()
			case <-stopping:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(stopping)
		<-stopped
	}
}

// logShutdown logs what happens after the first signal, as it may take a while.
func logShutdown(log *slog.Logger, drain time.Duration) {
	log.Info("shutting down; connections may finish; a second signal ends them", "drain", drain.String())
}
