package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// cutOffWait is how long the process may take to end after the second signal. To reset
// connections and to log them it needs milliseconds.
const cutOffWait = 5 * time.Second

// untilSignal returns a context that is done at the first SIGINT or SIGTERM, which asks
// for an end in good order. At the second signal connections are cut off (see
// onSecondSignal). If that takes too long, or at the third signal, the process ends on the
// spot: the kernel resets its connections, and nothing is logged. Stop ends the wait for
// signals.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	second, cutOff := context.WithCancel(context.WithoutCancel(parent))
	ctx, cancel := context.WithCancel(context.WithValue(parent, secondSignal{}, second))
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var overdue <-chan time.Time
		for _, heard := range []func(){cancel, cutOff, exit} {
			select {
			case <-signals:
			case <-overdue:
			case <-stopped:
				return
			}
			heard()
			if second.Err() != nil {
				overdue = time.After(cutOffWait)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		<-ended
		cancel()
		cutOff()
	}
}

func exit() { os.Exit(exitOK) }

// outliveReaders has the process go on when nobody reads its outputs any more: writes to
// them fail, where SIGPIPE would end the process. A relay or a forwarder serves others than
// the reader of its first line.
func outliveReaders() { signal.Ignore(syscall.SIGPIPE) }

// secondSignal is the key by which untilSignal's context has another context, done at the
// second signal. So both go through cobra.
type secondSignal struct{}

// onSecondSignal logs the second signal, and calls cut then. Stop ends that.
func onSecondSignal(ctx context.Context, log *slog.Logger, cut func()) (stop func() bool) {
	second, ok := ctx.Value(secondSignal{}).(context.Context)
	if !ok {
		second = context.Background()
	}
	return context.AfterFunc(second, func() {
		log.Warn("a second signal: connections are cut off")
		cut()
	})
}

// logShutdown logs what happens after the first signal, as it may take a while.
func logShutdown(log *slog.Logger, drain time.Duration) {
	log.Info("shutting down; connections may finish, a second signal cuts them off", "drain", drain.String())
}
