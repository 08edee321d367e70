package yamux_test

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/yamux"
)

// patience bounds every wait. Each ends long before, unless the code is wrong.
const patience = 20 * time.Second

// background is for waits that need no bound.
var background = context.Background()

// window is what may be sent on a stream before its reader has read.
const window = 256 << 10

// accepting is the configuration of a side whose peer may open streams.
var accepting = yamux.Config{Accept: true}

// resetConn is the connection that the tests run sessions on.
type resettableConn interface {
	yamux.Conn
	Reset() error
}

// tcpPair and memoryPair return both ends of such a connection.
var tcpPair, memoryPair = conntest.Pair, conntest.Memory

// sessions returns both sides of a session over TCP. Both may open streams.
func sessions(tb testing.TB) (client, server *yamux.Session) {
	tb.Helper()
	near, far := tcpPair(tb)
	return sessionsOn(tb, near, far)
}

// memorySessions returns both sides of a session in memory, for tests in simulated
// time.
func memorySessions(tb testing.TB) (client, server *yamux.Session) {
	tb.Helper()
	near, far := memoryPair()
	return sessionsOn(tb, near, far)
}

func sessionsOn(tb testing.TB, near, far yamux.Conn) (client, server *yamux.Session) {
	client, server = yamux.Client(near, accepting), yamux.Server(far, accepting)
	tb.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// open opens a stream, and returns both ends.
func open(tb testing.TB, from, to *yamux.Session) (opened, accepted *yamux.Stream) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	opened, err := from.Open(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	accepted, err = to.Accept(background)
	if err != nil {
		tb.Fatal(err)
	}
	for _, st := range []*yamux.Stream{opened, accepted} {
		if err := st.SetDeadline(time.Now().Add(patience)); err != nil {
			tb.Fatal(err)
		}
	}
	return opened, accepted
}

// streams returns both ends of a stream over TCP.
func streams(tb testing.TB) (opened, accepted *yamux.Stream) {
	tb.Helper()
	client, server := sessions(tb)
	return open(tb, client, server)
}

// wantReadErr expects that Read returns no byte and exactly this error, again and
// again.
func wantReadErr(tb testing.TB, from io.Reader, want error) {
	tb.Helper()
	for range 2 {
		if n, err := from.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
			tb.Errorf("Read returns %d, %v; want %v", n, err, want)
		}
	}
}

// wantWriteErr expects that writes fail with this error, at the latest when everything
// in flight has arrived.
func wantWriteErr(tb testing.TB, to io.Writer, want error) {
	tb.Helper()
	for start := time.Now(); ; {
		_, err := to.Write([]byte("x"))
		switch {
		case errors.Is(err, want):
			return
		case err != nil || time.Since(start) > patience:
			tb.Errorf("Write returns %v; want %v", err, want)
			return
		}
	}
}

// check fails the test on an error.
func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wait receives from c, and fails the test if nothing comes.
func wait[T any](tb testing.TB, c <-chan T, what string) (v T) {
	tb.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		tb.Fatalf("%s: does not happen", what)
	}
	return v
}

// async starts f and returns a channel that carries its error.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// isClosed reports whether c is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wantSessionErr expects an error that wraps ErrSessionEnded and cannot be taken for
// the end of a stream.
func wantSessionErr(tb testing.TB, what string, err error) {
	tb.Helper()
	if !errors.Is(err, yamux.ErrSessionEnded) || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		tb.Errorf("%s: got %v, want %v", what, err, yamux.ErrSessionEnded)
	}
}

// pattern returns n bytes of an endless sequence, from the given offset, in which no
// two places look alike.
func pattern(seed byte, offset, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		at := uint32(offset + i)
		b[i] = seed ^ byte(at*2654435761>>24) ^ byte(at)
	}
	return b
}

// counter counts calls from any goroutine.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// memoryStreams returns both ends of a stream in memory.
func memoryStreams(tb testing.TB) (opened, accepted *yamux.Stream) {
	tb.Helper()
	client, server := memorySessions(tb)
	return open(tb, client, server)
}
