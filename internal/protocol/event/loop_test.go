package event_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
)

// scriptedLoop is a loop that the test is the goroutine of. All claims are connected at
// once.
type scriptedLoop struct {
	protocol.Loop
	readable chan func() // what Watch was given
	posted   chan func()
	accept   func() // called by TryAccept
}

func (l *scriptedLoop) Post(f func()) { l.posted <- f }

func (l *scriptedLoop) Watch(_ conn.Conn, f func()) (stop func()) {
	l.readable <- f
	return func() {}
}

func (l *scriptedLoop) Dial() (conn.Conn, protocol.Dialer) {
	near, far := conntest.Memory()
	go func() { _, _ = io.Copy(io.Discard, far) }() // until near is reset
	return near, nil
}

func (l *scriptedLoop) TryAccept(_ context.Context, c conn.Conn) bool {
	l.accept()
	_ = c.Reset()
	return true
}

// linesConn is a control connection on which lines have come.
type linesConn struct {
	*conntest.MemoryConn
	lines *bytes.Buffer
}

func (c linesConn) TryRead(b []byte) (int, error) {
	n, err := c.lines.Read(b)
	if errors.Is(err, io.EOF) {
		err = syscall.EAGAIN
	}
	return n, err
}

func (linesConn) TryWrite([]byte) bool { return false }

// serveLines has a registration served on the loop, until stop is called. Readable is what
// the loop calls when these lines have come.
func serveLines(t *testing.T, l *scriptedLoop, lines string) (readable, stop func()) {
	t.Helper()
	near, far := conntest.Memory()
	go func() {
		_, _ = io.ReadFull(far, make([]byte, len("event\nnew\n")))
		_, _ = io.WriteString(far, "20001\n")
	}()
	dial := func(context.Context) (conn.Conn, error) { return linesConn{near, bytes.NewBufferString(lines)}, nil }
	registration, err := new(event.Client).Register(t.Context(), dial, protocol.Preamble{})
	if err != nil {
		t.Fatal(err)
	}
	l.readable, l.posted = make(chan func(), 1), make(chan func(), 9)
	served := make(chan error, 1)
	go func() { served <- registration.(protocol.LoopServer).ServeLoop(nil, l) }()
	return <-l.readable, func() {
		_ = registration.Close()
		(<-l.posted)()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("it ends with %v, want %v", err, net.ErrClosed)
		}
	}
}

// The loop serves joins too. A crowd of users may not keep it from them.
func TestClaimsTakeTurnsOnLoop(t *testing.T) {
	const most, ids = 16, 40
	claimed := 0
	l := &scriptedLoop{accept: func() { claimed++ }}
	readable, stop := serveLines(t, l, strings.Repeat("USER\n", ids))
	watched := readable
	for before := 0; claimed < ids; before = claimed {
		readable()
		if n := claimed - before; n < 1 || n > most {
			t.Fatalf("%d claims in one turn, after %d", n, before)
		}
		if claimed == ids {
			break
		}
		watched() // more has come, which has to wait for that turn too
		if len(l.posted) != 1 {
			t.Fatalf("%d turns to come after %d claims, want 1", len(l.posted), claimed)
		}
		readable = <-l.posted
	}
	stop()
}

// A panic in one claim costs no other user, and its connection is reset.
func TestClaimsOutlivePanic(t *testing.T) {
	claimed := 0
	l := &scriptedLoop{accept: func() {
		if claimed++; claimed == 1 {
			panic("injected")
		}
	}}
	readable, stop := serveLines(t, l, "ONE\nTWO\nTHREE\n")
	func() {
		defer func() { _ = recover() }() // as loops do
		readable()
	}()
	if claimed != 1 || len(l.posted) != 1 {
		t.Fatalf("%d claims, and %d turns to come; want 1 and 1", claimed, len(l.posted))
	}
	(<-l.posted)()
	if claimed != 3 {
		t.Errorf("%d of 3 users were claimed", claimed)
	}
	stop()
}
