//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stalledBuffer is the receive buffer of a user who never reads, as small as that of
	// an embedded device.
	stalledBuffer = 4096
	// newUserPatience bounds the wait of a new user. One who has no echo by then counts
	// with this time.
	newUserPatience = 5 * time.Second
	// stallPatience bounds how long users are opened, and then how long the machine's
	// TCP memory may go on growing.
	stallPatience = 10 * time.Second
)

// stalledLoad is new users, one after the other: first alone, and then beside users of
// the same tunnel who ask for more than they ever read.
type stalledLoad struct {
	connectLoad
	stalled []*net.TCPConn
	number  int // of new users so far
}

func (s *stalledLoad) prepare(ctx context.Context) error {
	_, err := s.newUsers(ctx, s.Warmup)
	return err
}

// newcomers is what new users have seen.
type newcomers struct {
	loadResult
	gaveUp float64 // percent of them
}

func (s *stalledLoad) measure(ctx context.Context) (loadResult, error) {
	alone, err := s.newUsers(ctx, s.Seconds)
	if err != nil {
		return loadResult{}, fmt.Errorf("a new user: %w", err)
	}
	before, err := tcpMemory()
	if err != nil {
		return loadResult{}, err
	}
	if err := s.stall(ctx); err != nil {
		return loadResult{}, fmt.Errorf("users who never read: %w", err)
	}
	after, err := settled(ctx)
	if err != nil {
		return loadResult{}, err
	}
	beside, err := s.newUsers(ctx, s.Seconds)
	if err != nil {
		return loadResult{}, fmt.Errorf("a new user beside those who never read: %w", err)
	}
	beside.More = figures{
		"alone50": alone.P50, "alone99": alone.P99, "p50": beside.P50, "p99": beside.P99,
		"ratio": beside.P99 / alone.P99, "gaveup": beside.gaveUp,
		"memory": float64(after-before) / (1 << 20), "cutoff": float64(s.cutOff()),
	}
	return beside.loadResult, nil
}

// newUsers has at least one user connect and bounce a message.
func (s *stalledLoad) newUsers(ctx context.Context, seconds float64) (n newcomers, err error) {
	var samples []time.Duration
	gaveUp := 0
	begin := time.Now()
	end := begin.Add(time.Duration(seconds * float64(time.Second)))
	for len(samples) == 0 || time.Now().Before(end) && len(samples) < maxConnects {
		start := time.Now()
		err := s.newUser(ctx)
		switch took := time.Since(start); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			gaveUp++
			samples = append(samples, max(took, newUserPatience))
		case err != nil:
			return n, err
		default:
			samples = append(samples, took)
		}
	}
	n.gaveUp = 100 * float64(gaveUp) / float64(len(samples))
	n.loadResult = summarize(samples, time.Since(begin))
	return n, nil
}

func (s *stalledLoad) newUser(ctx context.Context) error {
	s.number++
	deadline := time.Now().Add(newUserPatience)
	conn, err := s.dialFrom(ctx, s.Addrs[0], source(s.number))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("bounding a wait: %w", err)
	}
	return newEchoer(conn, s.pattern, uint16(s.number)).bounce()
}

// stall has the backend send to users who never read.
func (s *stalledLoad) stall(ctx context.Context) error {
	d := net.Dialer{Timeout: stallPatience, Control: smallBuffer}
	end := time.Now().Add(stallPatience)
	for i := range s.Stuck {
		conn, err := d.DialContext(ctx, "tcp", s.Addrs[0])
		if err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
		s.held = append(s.held, conn)
		s.stalled = append(s.stalled, conn.(*net.TCPConn))
		if _, err := conn.Write(header(modeDownload, uint16(i))); err != nil {
			return fmt.Errorf("sending a header: %w", err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("only %d of %d could connect in %s", i+1, s.Stuck, stallPatience)
		}
	}
	return nil
}

// smallBuffer is set before the connection is made, since it bounds the window scale.
func smallBuffer(_, _ string, raw syscall.RawConn) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, stalledBuffer)
	})
	if err = errors.Join(cerr, err); err != nil {
		return fmt.Errorf("SO_RCVBUF: %w", err)
	}
	return nil
}

// cutOff counts the users who never read and have lost their connection, or never got a
// byte. Memory that a contender saves by ending them is none that it has bounded.
func (s *stalledLoad) cutOff() (count int) {
	for _, conn := range s.stalled {
		if n, err := unread(conn); err != nil || n == 0 || !established(conn) {
			count++
		}
	}
	return count
}

func established(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	state := uint8(0)
	cerr := raw.Control(func(fd uintptr) {
		if info, ierr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); ierr == nil {
			state = info.State
		}
	})
	const tcpEstablished = 1 // of include/net/tcp_states.h
	return cerr == nil && state == tcpEstablished
}

// settled waits until the machine's TCP memory grows no more, or for as long as it may,
// and returns it.
func settled(ctx context.Context) (int64, error) {
	const window, growth = 25, 100 // looks in a row with less than a hundredth more
	end := time.Now().Add(stallPatience)
	var looks []int64
	for {
		now, err := tcpMemory()
		if err != nil {
			return 0, err
		}
		looks = append(looks, now)
		if n := len(looks); n > window && now-looks[n-window] <= now/growth || time.Now().After(end) {
			return now, nil
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for TCP memory: %w", context.Cause(ctx))
		}
	}
}

// tcpMemory returns how many bytes the buffers of all TCP sockets of the machine take.
func tcpMemory() (int64, error) {
	file, err := os.Open("/proc/net/sockstat")
	if err != nil {
		return 0, fmt.Errorf("the machine's TCP memory: %w", err)
	}
	defer func() { _ = file.Close() }()
	pages, err := tcpPages(bufio.NewScanner(file))
	return pages * int64(os.Getpagesize()), err
}

// tcpPages finds the pages of TCP in lines of /proc/net/sockstat.
func tcpPages(lines *bufio.Scanner) (int64, error) {
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), "TCP:")
		if !found {
			continue
		}
		f := strings.Fields(rest)
		if i := slices.Index(f, "mem"); i >= 0 && i+1 < len(f) {
			pages, err := strconv.ParseInt(f[i+1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("the machine's TCP memory: %w", err)
			}
			return pages, nil
		}
	}
	return 0, errors.New("/proc/net/sockstat has no memory of TCP")
}
