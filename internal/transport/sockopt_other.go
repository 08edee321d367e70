//go:build !linux

package transport

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// control does nothing: each connection has its own settings, and none for the pauses
// between retransmissions.
func control(string, string, syscall.RawConn) error { return nil }

// setUserTimeout does nothing: without TCP_USER_TIMEOUT a dead peer with
// unacknowledged data is noticed when the system gives up.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }

// setNotSent does nothing: what is urgent waits behind what the system holds.
func setNotSent(*net.TCPConn, int) error { return nil }

// letGo does nothing: attempts were not bounded.
func letGo(*net.TCPConn) {}

// keepUrgentInline does nothing: urgent data is lost.
func keepUrgentInline(*net.TCPConn) error { return nil }

// duplicate is for event loops, which there are none of here.
func duplicate(syscall.Conn) (int, error) { return -1, errors.ErrUnsupported }
