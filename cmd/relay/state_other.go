//go:build !unix

package main

import "syscall"

// This system has no such signals. The tokens file is read again anyway when it changes.
const stateSignal, reloadSignal = syscall.Signal(-1), syscall.Signal(-1)
