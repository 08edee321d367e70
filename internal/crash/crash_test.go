package crash_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed96252745/relay/internal/crash"
)

// run returns the panic of f as an error.
func run(f func()) (err error) {
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			err = e
		}
	}()
	f()
	return nil
}

func breaks() { panic(io.ErrShortBuffer) }

func TestCaught(t *testing.T) {
	if err := run(func() {}); err != nil {
		t.Errorf("got %v without a panic", err)
	}
	err := fmt.Errorf("in between: %w", run(breaks))
	var e *crash.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is not a *crash.Error", err)
	}
	if !strings.Contains(e.Stack, "crash_test.breaks") {
		t.Errorf("the stack does not say where it happened:\n%s", e.Stack)
	}
	if !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("%v does not wrap what was panicked with", err)
	}
	if !e.First() || e.First() {
		t.Error("First is not for the first alone")
	}
	if err := run(func() { panic("a word") }); err.Error() != "panic: a word" || errors.Unwrap(err) != nil {
		t.Errorf("got %v", err)
	}
}
