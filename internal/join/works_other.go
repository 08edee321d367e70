//go:build !linux

package join

import "context"

// Works returns nil: there is no event loop that may hang.
func (*Engine) Works(context.Context) error { return nil }
