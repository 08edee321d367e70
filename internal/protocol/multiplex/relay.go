package multiplex

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
	"github.com/seed96252745/relay/internal/yamux"
)

// Relay is the relay's half. The zero value is ready.
type Relay struct {
	// Budget bounds what all tunnels hold for users who do not read; each has a
	// bound of its own too. Nil is no bound.
	Budget *Budget
}

// Budget is a number of bytes that sessions share. When it is spent the stream
// that holds most is reset.
type Budget = yamux.Budget

// NewBudget gives a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return yamux.NewBudget(bytes) }

var _ protocol.Relay = Relay{}

// Register makes conn a yamux session.
func (r Relay) Register(conn join.Conn, port int) (protocol.Tunnel, error) {
	if err := wire.WriteReply(conn, port, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	protocol.AlwaysRead(conn)
	return &tunnel{yamux.Client(conn, yamux.Config{Budget: r.Budget})}, nil
}

// Claim refuses: there are no data connections.
func (Relay) Claim(conn join.Conn, _ string) error {
	_ = conn.Reset()
	return protocol.ErrNoClaims
}

// tunnel is a session in which the relay opens a stream for each user.
type tunnel struct{ session *yamux.Session }

func (t *tunnel) Open(ctx context.Context) (join.Conn, error) {
	st, err := t.session.Open(ctx)
	switch {
	case err == nil:
		return st, nil
	case errors.Is(err, yamux.ErrSessionEnded), errors.Is(err, yamux.ErrGoneAway):
		return nil, protocol.ErrTunnelEnded
	}
	return nil, err
}

// OpenNow opens a stream, or gives nil if that would have to wait or fails.
func (t *tunnel) OpenNow() join.Conn {
	if st := t.session.OpenNow(); st != nil {
		return st
	}
	return nil
}

func (t *tunnel) Done() <-chan struct{} { return t.session.Refusing() }

func (t *tunnel) Close() error {
	t.session.Close()
	return nil
}

// Finish lets the last FIN of the last stream through.
func (t *tunnel) Finish() { t.session.Finish() }
