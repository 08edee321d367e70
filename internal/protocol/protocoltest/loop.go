package protocoltest

import (
	"context"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
)

// Loop is a protocol.Loop on an event loop, which ends with the test.
type Loop struct {
	*join.Loop
	waits bool // for connections
	full  bool // takes none without waiting

	dial   protocol.Dialer
	accept protocol.Acceptor
}

var _ protocol.Loop = (*Loop)(nil)

// Servings runs the test with registrations that are served by goroutines, where loop is
// nil, and with those that a loop serves: with connections that are made and taken at once,
// that take waiting to be made, and that take waiting to be taken.
func Servings(t *testing.T, test func(t *testing.T, loop *Loop)) {
	t.Run("goroutines", func(t *testing.T) { test(t, nil) })
	t.Run("loop", func(t *testing.T) { test(t, newLoop(t)) })
	t.Run("loop that waits for dials", func(t *testing.T) { test(t, WaitingLoop(t)) })
	t.Run("loop that is full", func(t *testing.T) {
		l := newLoop(t)
		l.full = true
		test(t, l)
	})
}

// WaitingLoop returns a loop on which each connection takes waiting to be made.
func WaitingLoop(t *testing.T) *Loop {
	t.Helper()
	l := newLoop(t)
	l.waits = true
	return l
}

// newLoop returns a loop, or nil on systems that have none.
func newLoop(t *testing.T) *Loop {
	t.Helper()
	engine, err := join.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(engine.Close)
	set := engine.NewSet(nil)
	if set.Loop() == nil {
		return new(Loop)
	}
	return &Loop{Loop: set.Loop()}
}

// Dial makes a connection at once, or has wait make it.
func (l *Loop) Dial() (c conn.Conn, wait protocol.Dialer) {
	if l.waits {
		return nil, l.dial
	}
	c, err := l.dial(context.Background())
	if err != nil {
		return nil, func(context.Context) (conn.Conn, error) { return nil, err }
	}
	return c, nil
}

// TryAccept hands c over, unless the loop is full.
func (l *Loop) TryAccept(ctx context.Context, c conn.Conn) bool {
	if l.full {
		return false
	}
	go l.accept(ctx, c) // the test may take its time
	return true
}

// RegisterLoop is Register with a registration that the loop serves, if there is one.
func RegisterLoop(ctx context.Context, client protocol.Client, dial protocol.Dialer, l *Loop) (*Registration, error) {
	if l == nil || l.Loop == nil {
		return Register(ctx, client, dial)
	}
	return register(ctx, client, dial, func(r protocol.Registration, accepted protocol.Acceptor) error {
		l.dial, l.accept = dial, accepted
		return r.(protocol.LoopServer).ServeLoop(accepted, l)
	})
}
