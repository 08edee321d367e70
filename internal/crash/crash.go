// Package crash turns a panic into an error, so that it ends only the connection or
// tunnel in which it happened.
//
// Code that runs for one of them on a shared goroutine, or whose panic would end the
// process, catches the panic there:
//
//	defer func() {
//		if e := crash.Caught(recover()); e != nil {
//			... // end the connection with e, as with any other error
//		}
//	}()
//
// Locks have to be released on the way, by defer. The error travels like every other
// error of the connection, and may arrive in several places; the first one that calls
// [Error.First] counts and logs it.
package crash

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// Error is a panic that was caught. Its methods may be called concurrently.
type Error struct {
	// Value is the value of the panic.
	Value any
	// Stack is the stack of the goroutine, from the panic down.
	Stack string

	reported atomic.Bool
}

// Caught returns the error for the result of recover, or nil if that is nil. The
// deferred function that recovers must call it itself, while the stack is still there.
func Caught(value any) *Error {
	if value == nil {
		return nil
	}
	return &Error{Value: value, Stack: string(debug.Stack())}
}

func (e *Error) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value of the panic, if it is an error.
func (e *Error) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// First reports whether this is its first call: the caller that gets true counts and
// logs the panic.
func (e *Error) First() bool { return !e.reported.Swap(true) }
