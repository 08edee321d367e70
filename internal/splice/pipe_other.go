//go:build !linux

package splice

import "errors"

// Pipe is a kernel pipe, of which this system has none.
type Pipe struct{}

// GetPipe returns nil: there are no pipes.
func GetPipe() *Pipe { return nil }

// Release does nothing.
func (*Pipe) Release() {}

// Len returns 0.
func (*Pipe) Len() int { return 0 }

// Fill fails.
func (*Pipe) Fill(int, int) (int, error) { return 0, errors.ErrUnsupported }

// Pour fails.
func (*Pipe) Pour(int) (int, error) { return 0, errors.ErrUnsupported }
