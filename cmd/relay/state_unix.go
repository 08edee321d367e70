//go:build unix

package main

import "syscall"

// An operator asks with these for the state, and for the tokens file to be read again.
const stateSignal, reloadSignal = syscall.SIGUSR1, syscall.SIGHUP
