//go:build !linux

package transport

import (
	"context"
	"fmt"
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// startUnix leaves everything to wait.
func startUnix(name string) (c conn.Conn, wait func(context.Context) (conn.Conn, error)) {
	return nil, func(ctx context.Context) (conn.Conn, error) {
		dialer := net.Dialer{Timeout: dialTimeout}
		conn, err := dialer.DialContext(ctx, "unix", name)
		if err != nil {
			return nil, err
		}
		unix, ok := conn.(*net.UnixConn)
		if !ok {
			_ = conn.Close()
			return nil, fmt.Errorf("connecting to %s returned a %T", name, conn)
		}
		return &unixConn{UnixConn: unix}, nil
	}
}
