//go:build !linux

package transport

import (
	"context"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/join"
)

// startAddrs leaves everything to wait: only Linux knows a cheaper way.
func startAddrs(addrs []netip.AddrPort) (conn join.Conn, wait func(context.Context) (join.Conn, error)) {
	return nil, func(ctx context.Context) (join.Conn, error) {
		var err error
		end := time.Now().Add(dialTimeout)
		for i, addr := range addrs {
			share, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(len(addrs)-i))
			conn, err = dialName(share, addr.String(), control)
			cancel()
			if err == nil {
				break
			}
		}
		return conn, err
	}
}
