package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/seed96252745/relay"
)

// runForwarder is relay --localForwardPort=<port> <host> <port>.
func runForwarder(ctx context.Context, args []string, f *flags, log *slog.Logger, stdout io.Writer) error {
	localPort, err := parsePort(f.localForwardPort, "--localForwardPort", rightForwarder)
	if err != nil {
		return err
	}
	if len(args) != 2 {
		return usagef(rightForwarder, "%d arguments are given; the forwarder has two, host and port of the relay", len(args))
	}
	relayPort, err := parsePort(args[1], "port of the relay", rightForwarder)
	if err != nil {
		return err
	}
	if args[0] == "" || f.localForwardHost == "" {
		return usagef(rightForwarder, "a host is empty")
	}
	if f.poolSize < 1 || f.poolSize > relay.MaxPoolSize {
		return usagef("for example:   --poolSize=16", "--poolSize=%d: a pool has 1 to %d connections", f.poolSize, relay.MaxPoolSize)
	}
	protocol := relay.Protocol(f.protocol)
	switch protocol {
	case relay.Multiplex, relay.Pool, relay.Event:
	default:
		return usagef("one of:   --protocol=multiplex, --protocol=pool, --protocol=event", "--protocol: there is no protocol %q", f.protocol)
	}
	local := net.JoinHostPort(f.localForwardHost, strconv.Itoa(localPort))
	return relay.Forward(ctx, net.JoinHostPort(args[0], strconv.Itoa(relayPort)), local, &relay.Options{
		Protocol: protocol,
		PoolSize: f.poolSize,
		Logger:   log,
		OnRegister: func(public net.Addr) {
			fmt.Fprintf(stdout, "%s -> %s (%s)\n", public, local, protocol)
		},
		Drain: drainOption(f.drain),
	})
}

// drainOption says "not at all" in the way of relay.Options, where zero is the
// default.
func drainOption(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
