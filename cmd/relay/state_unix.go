//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/seed96252745/relay/internal/auth"
)

// notifyState returns a channel for SIGUSR1, until end is called.
func notifyState() (asked <-chan os.Signal, end func()) {
	signals := make(chan os.Signal, 1) // two at once count as one
	signal.Notify(signals, syscall.SIGUSR1)
	return signals, func() { signal.Stop(signals) }
}

// reloadOnHangup reads the tokens again at each SIGHUP, until stop is called.
func reloadOnHangup(tokens *auth.File) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-signals:
				_ = tokens.Reload() // it logs its errors
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
