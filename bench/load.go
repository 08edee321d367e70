//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// loadSpec tells a load generator what to do.
type loadSpec struct {
	Kind string `json:"kind"`
	// Addrs are the public addresses; connections take turns.
	Addrs []string `json:"addrs"`
	// Control is the relay's control port, and Protocol how to register there.
	Control  string  `json:"control,omitempty"`
	Protocol string  `json:"protocol,omitempty"`
	Conns    int     `json:"conns,omitempty"`
	Up       int     `json:"up,omitempty"`
	Down     int     `json:"down,omitempty"`
	Stuck    int     `json:"stuck,omitempty"`
	Seconds  float64 `json:"seconds"`
	// Chunks is how many chunks each stream has. It lasts for Seconds if that is zero.
	Chunks uint32 `json:"chunks,omitempty"`
	// Warmup is how long the load runs before it is measured.
	Warmup float64 `json:"warmup,omitempty"`
}

// loadResult is what a load generator has measured and checked.
type loadResult struct {
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Bytes   int64   `json:"bytes,omitempty"`
	Ops     int64   `json:"ops,omitempty"`
	// P50 and P99 are of the operations, in microseconds.
	P50 float64 `json:"p50,omitempty"`
	P99 float64 `json:"p99,omitempty"`
	// FreeRate and StuckRate are operations a second without and with users
	// that do not read.
	FreeRate  float64 `json:"free_rate,omitempty"`
	StuckRate float64 `json:"stuck_rate,omitempty"`
	// More is what only one kind of load measures, by the keys of columns.
	More figures `json:"more,omitempty"`
}

// generator is one kind of load. prepare is not measured.
type generator interface {
	prepare(ctx context.Context) error
	measure(ctx context.Context) (loadResult, error)
}

// readyLine is what a load generator prints when it is prepared. It then waits
// for a line, measures, prints the result, and holds its connections until its
// standard input ends.
const readyLine = "ready"

const (
	// patience is how much longer than it should anything may take. After that a
	// contender fails.
	patience = 30 * time.Second
	retry    = 20 * time.Millisecond
)

func loadMain(ctx context.Context, arg string, stdin io.Reader, stdout io.Writer) error {
	var spec loadSpec
	if err := json.Unmarshal([]byte(arg), &spec); err != nil {
		return fmt.Errorf("what to do: %w", err)
	}
	p, err := newPattern()
	if err != nil {
		return err
	}
	l := &loader{loadSpec: spec, pattern: p}
	defer l.close()
	result, err := l.run(ctx, bufio.NewReader(stdin), stdout)
	if err != nil {
		result = loadResult{Error: err.Error()}
	}
	if err := json.NewEncoder(stdout).Encode(result); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	_, _ = io.Copy(io.Discard, stdin)
	return nil
}

// loader is what all kinds of load have in common.
type loader struct {
	loadSpec
	pattern pattern
	held    []net.Conn // until the end
}

func (l *loader) close() {
	for _, conn := range l.held {
		_ = conn.Close()
	}
}

func (l *loader) run(ctx context.Context, stdin *bufio.Reader, stdout io.Writer) (loadResult, error) {
	kinds := map[string]generator{
		"bulk":    &bulkLoad{loader: l},
		"echo":    &echoLoad{loader: l},
		"connect": &connectLoad{loader: l},
		"mixed":   &mixedLoad{echo: echoLoad{loader: l}, bulk: bulkLoad{loader: l}},
		"stuck":   &stuckLoad{echo: echoLoad{loader: l}},
		"chatter": &chatterLoad{echo: echoLoad{loader: l}},
		"stalled": &stalledLoad{connectLoad: connectLoad{loader: l}},
		"idle":    &idleLoad{loader: l},
		"tunnels": &tunnelLoad{loader: l},
	}
	kind, ok := kinds[l.Kind]
	if !ok {
		return loadResult{}, fmt.Errorf("unknown kind %q", l.Kind)
	}
	for _, addr := range l.Addrs {
		try := func(ctx context.Context) error { return l.tryPath(ctx, addr) }
		if err := persist(ctx, try); err != nil {
			return loadResult{}, fmt.Errorf("nothing comes back through %s: %w", addr, err)
		}
	}
	if err := kind.prepare(ctx); err != nil {
		return loadResult{}, fmt.Errorf("preparing: %w", err)
	}
	fmt.Fprintf(stdout, "%s\n", readyLine)
	if _, err := stdin.ReadString('\n'); err != nil {
		return loadResult{}, fmt.Errorf("waiting for the start: %w", err)
	}
	return kind.measure(ctx)
}

// persist tries until it works, or until a contender should have started.
func persist(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retry):
		}
	}
}

// tryPath fails unless a message comes back.
func (l *loader) tryPath(ctx context.Context, addr string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	return newEchoer(conn, l.pattern, 0).bounce()
}

// dial opens a connection that is held until the end.
func (l *loader) dial(ctx context.Context) (*net.TCPConn, error) {
	conn, err := l.dialFrom(ctx, l.Addrs[len(l.held)%len(l.Addrs)], nil)
	if err == nil {
		l.held = append(l.held, conn)
	}
	return conn, err
}

// dialFrom opens a connection whose operations fail if they take far too long.
func (l *loader) dialFrom(ctx context.Context, addr string, source net.IP) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience}
	if source != nil {
		d.LocalAddr = &net.TCPAddr{IP: source}
		d.Control = portLater
	}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	// Twice: there may be two phases.
	_ = conn.SetDeadline(time.Now().Add(2*l.duration() + patience))
	return conn.(*net.TCPConn), nil
}

func (l *loader) duration() time.Duration {
	return time.Duration((l.Seconds + l.Warmup) * float64(time.Second))
}

// sideBySide runs count workers until the end, seconds from now, or longer.
func sideBySide[T any](count int, seconds float64, work func(i int, end time.Time) (T, error)) (done []T, took time.Duration, err error) {
	begin := time.Now()
	end := begin.Add(time.Duration(seconds * float64(time.Second)))
	done, errs := make([]T, count), make([]error, count)
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() { done[i], errs[i] = work(i, end) })
	}
	all.Wait()
	return done, time.Since(begin), errors.Join(errs...)
}

// unread returns how many bytes wait in the socket.
func unread(conn *net.TCPConn) (n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("looking into a socket: %w", err)
	}
	cerr := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	if err = errors.Join(cerr, err); err != nil {
		return 0, fmt.Errorf("looking into a socket: %w", err)
	}
	return n, nil
}

// echoer bounces messages over one connection.
type echoer struct {
	conn      net.Conn
	out, back []byte
	count     uint64
}

func newEchoer(conn net.Conn, p pattern, seed uint16) *echoer {
	out := make([]byte, messageSize)
	copy(out, header(modeEcho, seed))
	copy(out[headerSize:], p.bytes[p.start(seed):])
	return &echoer{conn: conn, out: out, back: make([]byte, messageSize)}
}

// bounce sends a message unlike any other, and waits for it to come back.
func (e *echoer) bounce() error {
	e.count++
	for i := range 8 {
		e.out[headerSize+i] = byte(e.count >> (8 * i))
	}
	if _, err := e.conn.Write(e.out); err != nil {
		return fmt.Errorf("sending message %d: %w", e.count, err)
	}
	if _, err := io.ReadFull(e.conn, e.back); err != nil {
		return fmt.Errorf("message %d did not come back: %w", e.count, err)
	}
	if !bytes.Equal(e.out, e.back) {
		return fmt.Errorf("message %d came back changed", e.count)
	}
	return nil
}

// summarize makes a result of the time that each operation took.
func summarize(samples []time.Duration, took time.Duration) loadResult {
	slices.Sort(samples)
	micro := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return loadResult{
		Seconds: took.Seconds(),
		Ops:     int64(len(samples)),
		P50:     micro(percentile(samples, 50)),
		P99:     micro(percentile(samples, 99)),
	}
}
