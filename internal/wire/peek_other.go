//go:build !unix

package wire

import "net"

func peekerOf(net.Conn) peekFunc { return nil }

// ReadClaimNow gives false: what has come cannot be told without waiting.
func ReadClaimNow(net.Conn, []Verb) (Request, bool) { return Request{}, false }
