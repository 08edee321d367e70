package event

import (
	"context"
	"fmt"
	"sync"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Relay is the relay's half: it knows which users wait for which ids. Make it
// with NewRelay.
type Relay struct {
	mu      sync.Mutex // guards what follows
	pending map[wire.Key]chan<- join.Conn
}

var _ protocol.Relay = (*Relay)(nil)

// NewRelay gives a Relay that nobody waits at.
func NewRelay() *Relay {
	return &Relay{pending: make(map[wire.Key]chan<- join.Conn)}
}

// Register makes conn the control connection of a tunnel.
func (r *Relay) Register(conn join.Conn, port int) (protocol.Tunnel, error) {
	if err := wire.WriteReply(conn, port, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	protocol.AlwaysRead(conn)
	return newTunnel(r, conn), nil
}

// Claim gives conn to the user who waits for id.
func (r *Relay) Claim(conn join.Conn, id string) error {
	claimed := r.take(id)
	if claimed == nil {
		_ = conn.Reset()
		return protocol.ErrUnknownID
	}
	claimed <- conn // has room for the one that there can be
	return nil
}

// expect makes an id for a user. The channel gets the connection that claims
// it.
func (r *Relay) expect() (id string, claimed <-chan join.Conn) {
	id = wire.NewID()
	c := make(chan join.Conn, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending[wire.KeyOf(id)] = c
	return id, c
}

// take ends the wait for id: whoever gets the channel, the claim or the user
// who gives up, is the only one.
func (r *Relay) take(id string) chan<- join.Conn {
	key := wire.KeyOf(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	claimed := r.pending[key]
	delete(r.pending, key)
	return claimed
}

// open announces a new id with announce and waits until it is claimed.
func (r *Relay) open(ctx context.Context, announce func(id string) error, done <-chan struct{}) (join.Conn, error) {
	id, claimed := r.expect()
	err := announce(id)
	if err == nil {
		select {
		case conn := <-claimed:
			return conn, nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-done:
			err = protocol.ErrTunnelEnded
		}
	}
	if r.take(id) == nil {
		// A claim was quicker, and hands its connection over or has done so.
		return <-claimed, nil
	}
	return nil, err
}
