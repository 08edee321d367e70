package event

import (
	"context"
	"fmt"
	"sync"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Relay is the relay's half: it knows which users wait for which ids. Make it
// with NewRelay.
type Relay struct {
	config Config

	mu      sync.Mutex // guards what follows
	pending map[wire.Key]chan<- conn.Conn
}

var _ protocol.Relay = (*Relay)(nil)

// Config sets up a Relay. The zero value is fine.
type Config struct {
	// MaxPending is how many ids of one tunnel may wait for its relay client to
	// read them. Zero means 256.
	MaxPending int
	// Served gets the ids of users who do not wait any more. Nil forgets them.
	Served protocol.Recent
}

// NewRelay gives a Relay that nobody waits at.
func NewRelay(config Config) *Relay {
	if config.MaxPending == 0 {
		config.MaxPending = 256
	}
	if config.Served == nil {
		config.Served = protocol.Forget{}
	}
	return &Relay{config: config, pending: make(map[wire.Key]chan<- conn.Conn)}
}

// Verb returns event's.
func (*Relay) Verb() wire.Verb { return verb }

// Register makes conn the control connection of a tunnel.
func (r *Relay) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	if err := wire.WriteAnswer(conn, g.Answer, ""); err != nil {
		_ = conn.Reset()
		return nil, fmt.Errorf("announcing the port: %w", err)
	}
	protocol.AlwaysRead(conn, takesNothing)
	return newSession(r, conn, g.Owner), nil
}

// Claim gives conn to the user who waits for id.
func (r *Relay) Claim(conn conn.Conn, owner, id string) error {
	key := wire.KeyOf(owner, id)
	claimed := r.take(key)
	switch {
	case claimed != nil:
		claimed <- conn // has room for the one that there can be
		return nil
	case r.config.Served.Contains(key):
		_ = conn.Reset()
		return protocol.ErrLate
	}
	_ = conn.Reset()
	return protocol.ErrUnknownID
}

// expect makes an id for a user. The channel gets the connection of owner's that
// claims it.
func (r *Relay) expect(owner string) (id string, key wire.Key, claimed <-chan conn.Conn) {
	id = wire.NewID()
	key = wire.KeyOf(owner, id)
	c := make(chan conn.Conn, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending[key] = c
	return id, key, c
}

// take ends the wait for an id: whoever gets the channel, the claim or the user
// who gives up, is the only one.
func (r *Relay) take(key wire.Key) chan<- conn.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	claimed := r.pending[key]
	if claimed != nil {
		delete(r.pending, key)
		r.config.Served.Add(key)
	}
	return claimed
}

// open announces a new id with announce and waits until it is claimed.
func (r *Relay) open(ctx context.Context, owner string, announce func(id string) error, done <-chan struct{}) (conn.Conn, error) {
	id, key, claimed := r.expect(owner)
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
	if r.take(key) == nil {
		// A claim was quicker, and hands its connection over or has done so.
		return <-claimed, nil
	}
	return nil, err
}
