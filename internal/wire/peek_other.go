//go:build !unix

package wire

import "net"

func peekerOf(net.Conn) peekFunc { return nil }
