//go:build !linux

package transport

import "time"

// setUserTimeout does nothing: without TCP_USER_TIMEOUT a dead peer with
// unacknowledged bytes is noticed when the system gives up.
func setUserTimeout(uintptr, time.Duration) error { return nil }
