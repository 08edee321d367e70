//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// openers is how many connections are being opened at a time.
const openers = 32

// idleLoad opens connections, bounces a message on each, and holds them.
type idleLoad struct{ *loader }

func (*idleLoad) prepare(context.Context) error { return nil }

func (i *idleLoad) measure(ctx context.Context) (loadResult, error) {
	i.held = make([]net.Conn, i.Conns)
	errs := make([]error, openers)
	begin := time.Now()
	var all sync.WaitGroup
	for opener := range openers {
		all.Go(func() {
			for n := opener; n < i.Conns && errs[opener] == nil; n += openers {
				i.held[n], errs[opener] = i.open(ctx, n)
			}
		})
	}
	all.Wait()
	i.held = slices.DeleteFunc(i.held, func(conn net.Conn) bool { return conn == nil })
	opened := len(i.held)
	result := loadResult{Ops: int64(opened), Seconds: time.Since(begin).Seconds()}
	if err := errors.Join(errs...); err != nil {
		return result, fmt.Errorf("%d of %d connections: %w", opened, i.Conns, err)
	}
	return result, nil
}

func (i *idleLoad) open(ctx context.Context, n int) (net.Conn, error) {
	conn, err := i.dialFrom(ctx, i.Addrs[n%len(i.Addrs)], nil)
	if err != nil {
		return nil, err
	}
	if err := newEchoer(conn, i.pattern, uint16(n)).bounce(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// tunnelLoad registers tunnels, and holds them. It has one before the measurement, which
// leaves out the costs of the first alone.
type tunnelLoad struct{ *loader }

// prepare also waits until the relay listens.
func (t *tunnelLoad) prepare(ctx context.Context) error {
	return persist(ctx, t.register)
}

func (t *tunnelLoad) measure(ctx context.Context) (loadResult, error) {
	begin := time.Now()
	for n := 1; n < t.Conns; n++ {
		if err := t.register(ctx); err != nil {
			return loadResult{}, fmt.Errorf("tunnel %d: %w", n+1, err)
		}
	}
	return loadResult{Ops: int64(t.Conns), Seconds: time.Since(begin).Seconds()}, nil
}

// register speaks docs/protocol.md just as far as it takes to have a tunnel.
// The relay pings only after 15 seconds, and by then all is over.
func (t *tunnelLoad) register(ctx context.Context) error {
	conn, err := t.dialFrom(ctx, t.Control, nil)
	if err != nil {
		return err
	}
	t.held = append(t.held, conn)
	verb := t.Protocol + "\n"
	if t.Protocol != "multiplex" {
		verb += "new\n"
	}
	if _, err := conn.Write([]byte(verb)); err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	if port, err := strconv.ParseUint(strings.TrimSpace(line), 10, 16); err != nil || port == 0 {
		return fmt.Errorf("registering: %q is no port", line)
	}
	return nil
}
