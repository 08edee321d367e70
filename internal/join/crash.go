package join

import (
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
)

// caught calls f, and returns the panic that it has ended with, or nil.
func caught(f func()) (c *crash.Error) {
	defer func() { c = crash.Caught(recover()) }()
	f()
	return nil
}

// closeConn closes a connection: with an end, or, after an error, with a reset, so that
// the peer sees a failure. It returns that error, or the panic that there was.
func closeConn(of conn.Conn, err error) error {
	c := caught(func() {
		if err == nil {
			_ = of.Close() // the peer has had its end already
		} else {
			_ = of.Reset()
		}
	})
	if c == nil {
		return err
	}
	// This may still work. An end, as Close would send, would be wrong.
	_ = caught(func() {
		if tcp := conn.TCPOf(of); tcp != nil {
			_ = tcp.Close() // with a reset: see Socket
			return
		}
		_ = of.Reset()
	})
	return c
}
