// Package crash turns a panic into an error, so that it ends what it happened
// in, a connection or a tunnel, and nothing else.
//
// Whoever runs code for one of them on a goroutine that others depend on, or
// whose panic would end the process, catches it there:
//
//	defer func() {
//		if e := crash.Caught(recover()); e != nil {
//			... // end the connection with e, as with any other error
//		}
//	}()
//
// Locks have to be given back on the way, which defer does. The error travels
// the way that all errors of the connection do, and may arrive in several
// places; the first that asks [Error.First] counts it and logs it.
package crash

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// Error is a panic that was caught. Its methods may be called concurrently.
type Error struct {
	// Value is what was panicked with.
	Value any
	// Stack is the stack of the goroutine, from the panic down.
	Stack string

	told atomic.Bool
}

// Caught gives the error for what recover has returned, or nil if that is nil.
// It has to be called by the deferred function that recovers, while the stack
// is still there.
func Caught(value any) *Error {
	if value == nil {
		return nil
	}
	return &Error{Value: value, Stack: string(debug.Stack())}
}

func (e *Error) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap gives the error that was panicked with, if it was one.
func (e *Error) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// First tells whether it is called for the first time: whoever gets true counts
// and logs the panic.
func (e *Error) First() bool { return !e.told.Swap(true) }
