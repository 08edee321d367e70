//go:build !linux

package transport

import (
	"net"
	"time"
)

// setUserTimeout does nothing: without TCP_USER_TIMEOUT a dead peer with
// unacknowledged bytes is noticed when the system gives up.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }

// keepUrgentInline does nothing: urgent data is lost.
func keepUrgentInline(*net.TCPConn) error { return nil }
