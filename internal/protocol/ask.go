package protocol

import (
	"context"
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/wire"
)

// replyWait is how long the relay may take to answer a registration: it has
// nothing to wait for itself, so this is time for the network alone.
const replyWait = 10 * time.Second

// Ask sends a registration and has read read the answer. The connection that
// it gives stands right behind what was read, and has no deadline.
func Ask(ctx context.Context, dial Dialer, req wire.Request, read func(*wire.Reader) error) (conn.Conn, error) {
	conn, err := Send(ctx, dial, req)
	if err != nil {
		return nil, err
	}
	if err := readReply(ctx, conn, read); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("registering: %w", req.Redact(err))
	}
	return conn, nil
}

func readReply(ctx context.Context, conn conn.Conn, read func(*wire.Reader) error) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Reset() })
	defer stop()
	err := conn.SetReadDeadline(time.Now().Add(replyWait))
	if err == nil {
		err = read(wire.NewReader(conn))
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // which has reset conn, or is about to
	}
	return err
}

// AlwaysRead tells c, if it wants to know, that its peer reads whatever
// comes, so that it can be found dead for not doing so within limit.
func AlwaysRead(c conn.Conn, limit time.Duration) {
	if c, ok := conn.As[interface{ AlwaysRead(time.Duration) }](c); ok {
		c.AlwaysRead(limit)
	}
}

// Send connects to the relay and sends req, with which every connection of a
// relay client begins.
func Send(ctx context.Context, dial Dialer, req wire.Request) (conn.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	// The few bytes fit into the socket's buffer; this cannot block.
	if _, err := req.WriteTo(conn); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("writing to the relay: %w", err)
	}
	return conn, nil
}
