//go:build !unix

package main

import (
	"os"

	"github.com/seed96252745/relay/internal/auth"
)

// notifyState returns a channel on which nothing comes: there is no such signal.
func notifyState() (asked <-chan os.Signal, end func()) { return nil, func() {} }

// reloadOnHangup does nothing: there is no such signal, and changes of the file are noticed
// anyway.
func reloadOnHangup(*auth.File) (stop func()) { return func() {} }
