//go:build !linux

package join

import (
	"context"

	"github.com/seed96252745/relay/internal/conn"
)

// loops are for Linux.
type loops struct{}

func (*loops) start(periods) error    { return nil }
func (*loops) stop()                  {}
func (*loops) joins(*Set) []askedJoin { return nil }

func (*loops) join(context.Context, *Set, conn.Conn, conn.Conn, int64, func(Result)) Handle {
	return nil
}

// Watch returns nil: no listener can be watched.
func (*Engine) Watch(conn.TryListener, func() (again bool), func(error)) (resume func()) { return nil }

// WhenReadable returns nil: no connection can be watched.
func (*Set) WhenReadable(conn.Conn, func()) (stop func()) { return nil }

// Loop is for Linux.
type Loop struct{}

// Loop returns nil.
func (*Set) Loop() *Loop { return nil }

// Post is for Linux.
func (*Loop) Post(func()) {}

// Watch is for Linux.
func (*Loop) Watch(conn.Conn, func()) (stop func()) { return nil }
