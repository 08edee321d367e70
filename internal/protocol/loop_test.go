package protocol_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// dialLoop is a loop that dials.
type dialLoop struct {
	protocol.Loop
	conn conn.Conn
	wait protocol.Dialer
}

func (l dialLoop) Dial() (conn.Conn, protocol.Dialer) { return l.conn, l.wait }

func TestTrySend(t *testing.T) {
	req := wire.Request{Verb: wire.Verb{Name: "event", Claims: true}, ID: "USER"}
	const line = "event\nUSER\n"

	near, far := conntest.Pair(t)
	if c, _ := protocol.TrySend(dialLoop{conn: near}, req); c != conn.Conn(near) {
		t.Errorf("got %v, want the connection", c)
	}
	conntest.WantRead(t, far, line)

	near, far = conntest.Pair(t)
	c, wait := protocol.TrySend(dialLoop{wait: func(context.Context) (conn.Conn, error) { return near, nil }}, req)
	if c != nil {
		t.Errorf("got %v before it was connected", c)
	}
	if c, err := wait(t.Context()); c != conn.Conn(near) || err != nil {
		t.Errorf("got %v, %v, want the connection", c, err)
	}
	_ = near.CloseWrite()
	if got, err := io.ReadAll(far); string(got) != line || err != nil {
		t.Errorf("sent %q, %v", got, err)
	}

	near, _ = conntest.Pair(t)
	_ = near.CloseWrite()
	if c, wait = protocol.TrySend(dialLoop{conn: near}, req); c != nil {
		t.Error("got a connection that takes nothing")
	} else if c, err := wait(t.Context()); c != nil || err == nil {
		t.Errorf("got %v, %v, want an error", c, err)
	}

	refused := errors.New("refused")
	_, wait = protocol.TrySend(dialLoop{wait: func(context.Context) (conn.Conn, error) { return nil, refused }}, req)
	if _, err := wait(t.Context()); !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
}
