//go:build !unix

package wire

import "net"

// TryReadClaim returns false: this system cannot tell what has come without waiting.
func TryReadClaim(net.Conn, []Verb) (Request, bool) { return Request{}, false }
