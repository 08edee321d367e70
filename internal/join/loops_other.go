//go:build !linux

package join

import "context"

// loops are for Linux.
type loops struct{}

func (*loops) start(periods) error   { return nil }
func (*loops) stop()                 {}
func (*loops) joins() []underWayJoin { return nil }

func (*loops) join(context.Context, *Engine, Conn, Conn, func(Result)) bool { return false }

// WhenReadable gives nil: no connection can be watched.
func (*Engine) WhenReadable(Conn, func()) (stop func()) { return nil }
