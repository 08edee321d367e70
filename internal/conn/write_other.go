//go:build !unix

package conn

import "syscall"

// WriteNow writes nothing here.
func WriteNow(Conn, []byte) (n int) { return 0 }

// ReadNow reads nothing here.
func ReadNow(Conn, []byte) (n int, err error) { return 0, syscall.EAGAIN }
