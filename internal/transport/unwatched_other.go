//go:build !linux

package transport

import "errors"

// unwatched is for event loops, which there are none of here.
type unwatched struct{}

func newUnwatched(int) *unwatched { return &unwatched{} }

func (*unwatched) control(func(fd uintptr)) error { return errors.ErrUnsupported }

func (*unwatched) closeWrite() error { return errors.ErrUnsupported }

func (*unwatched) close(int) error { return errors.ErrUnsupported }
