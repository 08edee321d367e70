//go:build !linux

package transport

import (
	"context"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// startAddrs leaves everything to wait: only Linux knows a cheaper way.
func startAddrs(addrs []netip.AddrPort, _ func(fd int)) (c conn.Conn, wait func(context.Context) (conn.Conn, error)) {
	return nil, func(ctx context.Context) (conn.Conn, error) {
		var err error
		end := time.Now().Add(dialTimeout)
		for i, addr := range addrs {
			share, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(len(addrs)-i))
			c, err = dialName(share, addr.String(), control)
			cancel()
			if err == nil {
				break
			}
		}
		return c, err
	}
}

// unpolled returns c.
func unpolled(c *Conn) conn.Conn { return c }
