//go:build !unix

package main

import (
	"os"

	"github.com/seed96252745/relay/internal/auth"
)

// notifyState returns nil: this system has no such signal.
func notifyState() (asked <-chan os.Signal, end func()) { return nil, func() {} }

// reloadOnHangup does nothing: this system has no such signal, and the file is read again
// anyway when it changes.
func reloadOnHangup(*auth.File) (stop func()) { return func() {} }
