package join

import (
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
)

// caught calls f, and gives the panic that it has ended with, if it has.
func caught(f func()) (c *crash.Error) {
	defer func() { c = crash.Caught(recover()) }()
	f()
	return nil
}

// closeConn closes conn: with an end, or, after an error, with a reset, so that
// the peer sees a failure. It gives that error, or the panic that there was.
func closeConn(of conn.Conn, err error) error {
	c := caught(func() {
		if err == nil {
			_ = of.Close() // the peer knows already that all is said
		} else {
			_ = of.Reset()
		}
	})
	if c == nil {
		return err
	}
	// What may still work. An end, as Close gives, would be a lie.
	_ = caught(func() {
		if tcp := conn.TCPOf(of); tcp != nil {
			_ = tcp.Close() // with a reset: see Socket
			return
		}
		_ = of.Reset()
	})
	return c
}
