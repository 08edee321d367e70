//go:build !linux

package splice

import "errors"

// Pipe is a kernel pipe, of which there are none on this system.
type Pipe struct{}

// Take gives nil: there are no pipes.
func Take() *Pipe { return nil }

// GiveBack does nothing.
func (*Pipe) GiveBack() {}

// Len is 0.
func (*Pipe) Len() int { return 0 }

// Fill fails.
func (*Pipe) Fill(int, int) (int, error) { return 0, errors.ErrUnsupported }

// Pour fails.
func (*Pipe) Pour(int) (int, error) { return 0, errors.ErrUnsupported }
