//go:build !unix

package join

// socketSource is for systems whose sockets can be waited for without a buffer.
type socketSource struct{}

func newSocketSource(*direction) *socketSource { return nil }

func (*socketSource) copy() (readErr, writeErr error) { panic("never made") }
