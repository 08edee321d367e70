package protocol

import (
	"context"
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/wire"
)

// answerTimeout is how long the relay may take to answer a registration. The relay waits
// for nothing itself, so this is time for the network alone.
const answerTimeout = 10 * time.Second

// RoundTrip sends a registration on a new connection, and has read read the answer. It
// returns the connection at the first byte after the answer, without a deadline.
func RoundTrip(ctx context.Context, dial Dialer, req wire.Request, read func(*wire.Reader) error) (conn.Conn, error) {
	conn, err := Send(ctx, dial, req)
	if err != nil {
		return nil, err
	}
	if err := readAnswer(ctx, conn, read); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("registering: %w", req.Redact(err))
	}
	return conn, nil
}

func readAnswer(ctx context.Context, conn conn.Conn, read func(*wire.Reader) error) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Reset() })
	defer stop()
	err := conn.SetReadDeadline(time.Now().Add(answerTimeout))
	if err == nil {
		err = read(wire.NewReader(conn))
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // which AfterFunc has reset conn for, or is about to
	}
	return err
}

// AlwaysRead tells c that its peer reads at once whatever arrives. A peer that
// acknowledges nothing within limit is dead, then.
func AlwaysRead(c conn.Conn, limit time.Duration) {
	if c, ok := conn.As[interface{ AlwaysRead(time.Duration) }](c); ok {
		c.AlwaysRead(limit)
	}
}

// Send connects to the relay, and sends the request with which every connection of a
// relay client begins.
func Send(ctx context.Context, dial Dialer, req wire.Request) (conn.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := sendOn(conn, req); err != nil {
		return nil, err
	}
	return conn, nil
}

// sendOn writes the request, or resets conn.
func sendOn(conn conn.Conn, req wire.Request) error {
	// The few bytes fit into the socket's buffer; this cannot block.
	if _, err := req.WriteTo(conn); err != nil {
		_ = conn.Reset()
		return fmt.Errorf("writing to the relay: %w", err)
	}
	return nil
}
