//go:build unix

package auth

import "syscall"

const (
	// openFlags keep a pipe that nobody writes to from being waited for.
	openFlags = syscall.O_NONBLOCK
	hasModes  = true
)
