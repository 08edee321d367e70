//go:build !linux

package join

import "context"

// loops are for Linux.
type loops struct{}

func (*loops) start() error { return nil }
func (*loops) stop()        {}

func (*loops) join(context.Context, Conn, Conn, func(Result)) bool { return false }
