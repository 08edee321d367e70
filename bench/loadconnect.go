//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxConnects bounds one measurement. The sources below can have far more
	// connections open or recently closed.
	maxConnects = 100_000
	// sources is how many addresses of loopback there are to connect from: a
	// connection keeps its port from others for a while after its end.
	sources = 16
	// warmConnects are made before anything is measured.
	warmConnects = 50
)

// connectLoad makes connections of one message each, some at a time.
type connectLoad struct{ *loader }

func (c *connectLoad) prepare(ctx context.Context) error {
	_, err := c.connectAll(ctx, c.Warmup, warmConnects)
	return err
}

func (c *connectLoad) measure(ctx context.Context) (loadResult, error) {
	return c.connectAll(ctx, c.Seconds, maxConnects/c.Conns)
}

func (c *connectLoad) connectAll(ctx context.Context, seconds float64, each int) (loadResult, error) {
	samples, took, err := sideBySide(c.Conns, seconds, func(worker int, end time.Time) (samples []time.Duration, err error) {
		for i := 0; i < each && err == nil && time.Now().Before(end); i++ {
			start := time.Now()
			err = c.connect(ctx, worker+i)
			samples = append(samples, time.Since(start))
		}
		return samples, err
	})
	return summarize(slices.Concat(samples...), took), err
}

func (c *connectLoad) connect(ctx context.Context, number int) error {
	conn, err := c.dialFrom(ctx, c.Addrs[number%len(c.Addrs)], source(number))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return newEchoer(conn, c.pattern, uint16(number)).bounce()
}

// source returns the address from which the user with that number connects.
func source(number int) net.IP { return net.IPv4(127, 0, 0, byte(2+number%sources)) }

// portLater lets the kernel choose a port when it knows the destination. It may then
// choose one that is in use towards other destinations.
func portLater(_, _ string, raw syscall.RawConn) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	if err = errors.Join(cerr, err); err != nil {
		return fmt.Errorf("IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	return nil
}
