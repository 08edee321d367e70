//go:build !linux

package transport

import (
	"context"
	"net/netip"

	"github.com/seed96252745/relay/internal/conn"
)

// startAddrs leaves everything to wait: only Linux knows a cheaper way.
func startAddrs(addrs []netip.AddrPort, _ func(fd int)) (c conn.Conn, wait func(context.Context) (conn.Conn, error)) {
	return nil, func(ctx context.Context) (conn.Conn, error) { return dialAddrs(ctx, addrs, control) }
}

// unpolled returns c.
func unpolled(c *Conn) conn.Conn { return c }
